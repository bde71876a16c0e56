"""One small problem worked through, told in the contracts: what the OpenAPI documents show.

They are made of the contracts themselves, so an example always fits the schema that it stands beside.
"""

from datetime import UTC, datetime, timedelta

from reasonflux.contracts import (
    Calculation,
    Candidate,
    ChangeKind,
    Entry,
    Event,
    Instantiation,
    LibraryInfo,
    Outcome,
    PlanMade,
    Problem,
    Query,
    Retrieval,
    Review,
    SessionFinished,
    SessionStarted,
    Statement,
    Step,
    StepInstantiated,
    StepRetrieved,
    StepReviewed,
    TemplateChange,
    TemplateStatus,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    Tokens,
    Trajectory,
    Verdict,
    WorkedExample,
)

SESSION_ID = "4f1c2b0a9d8e4c7fb1a2c3d4e5f60718"
AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
LIBRARY = "math"
PROBLEM = "Find the sum of the roots of $x^2 - 7x + 10 = 0$."
GOAL = "find the sum of the roots"

TEMPLATE = ThoughtTemplate(
    id="sum-of-roots",
    name="Sum of the Roots of a Quadratic",
    type=TemplateType.FORMULA_RULE,
    field="algebra/quadratics",
    tags=("vieta", "sum of the roots"),
    description="Finds the sum of the roots of a*x^2 + b*x + c without solving the equation.",
    scope=("A quadratic equation is given and the sum of its roots is asked for",),
    pitfalls=("One of the roots itself is asked for",),
    variables={"a": "coefficient of x^2", "b": "coefficient of x, with sign"},
    steps=(
        TemplateStep(instruction="Bring the equation to the form a*x^2 + b*x + c = 0 and read off a and b."),
        TemplateStep(instruction="The roots add up to the negative of b over a.", formula="total = -b/a"),
    ),
    example=WorkedExample(
        problem="What is the sum of the roots of 2x^2 - 6x + 4 = 0?",
        bindings={"a": "2", "b": "-6"},
        steps=("Here a = 2 and b = -6.", "The sum is 6/2 = 3."),
        answer="3",
        check="answer/2 == -b/(2*a)",
    ),
)
QUERY = Query(name="sum of the roots", tags=("vieta",), text="the sum of the roots of a quadratic equation")
CANDIDATE = Candidate(
    template_id=TEMPLATE.id, name=TEMPLATE.name, score=0.93, parts={"dense": 0.81, "bm25": 0.77}, matched=("name",)
)
RETRIEVAL = Retrieval(query=QUERY, candidates=(CANDIDATE,), template=TEMPLATE)
STATEMENT = Statement(id="s1", text=PROBLEM)
INSTANTIATION = Instantiation(
    reasoning="Here a = 1 and b = -7, so the roots add up to 7.",
    bindings={"a": "1", "b": "-7"},
    calculations=(Calculation(statement="total = -b/a", name="total", value="7"),),
    result="7",
    usage=Tokens(prompt=412, cached=256, completion=38, calls=1),
)
CHANGE = TemplateChange(
    seq=12,
    library=LIBRARY,
    template_id=TEMPLATE.id,
    revision=1,
    kind=ChangeKind.CREATED,
    at=AT,
    by="ada",
    note="asked for in the course",
    template=TEMPLATE,
)
LIBRARY_INFO = LibraryInfo(
    name=LIBRARY, revision=12, counts={TemplateStatus.ACTIVE: 500, TemplateStatus.QUARANTINED: 3}
)

_STORY: tuple[Event, ...] = (
    SessionStarted(problem=Problem(text=PROBLEM), metadata={"course": "algebra-1"}),
    PlanMade(
        trajectory=Trajectory(
            abstraction="a symmetric function of the roots of a quadratic",
            steps=(Step(id=1, goal=GOAL, query=QUERY, uses=("s1",)),),
        ),
        usage=Tokens(prompt=380, completion=52, calls=1),
    ),
    StepRetrieved(step_id=1, retrieval=RETRIEVAL),
    StepInstantiated(step_id=1, attempt=1, instantiation=INSTANTIATION),
    StepReviewed(
        step_id=1,
        attempt=1,
        review=Review(verdict=Verdict.FINISH, reason="7 is what was asked for", answer="7"),
        usage=Tokens(prompt=610, cached=432, completion=21, calls=1),
    ),
    SessionFinished(outcome=Outcome.SOLVED, answer="7", explanation="7 is what was asked for"),
)
ENTRIES = tuple(
    Entry(seq=seq, at=AT + timedelta(milliseconds=400 * (seq - 1)), event=event) for seq, event in enumerate(_STORY, 1)
)
"""A whole journal, from the first event to the last."""
