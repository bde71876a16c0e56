"""What the executor is told of a step that goes on from an earlier turn."""

from datetime import UTC, datetime

from navigator.brief import request_for
from navigator.policy import Instantiate
from navigator.session import fold
from reasonflux.contracts import (
    Entry,
    PlanMade,
    Problem,
    Session,
    SessionStarted,
    Statement,
    Step,
    Trajectory,
    Turn,
    TurnStep,
)

SUM = TurnStep(id=1, goal="Find the sum", result="-7/2")
PRODUCT = TurnStep(id=2, goal="Find the product", result="40")


def session(problem: str, *turns: Turn, uses: tuple[str, ...]) -> Session:
    step = Step(id=1, goal="Find the area", uses=uses)
    events = [
        SessionStarted(problem=Problem(text=problem), turns=turns),
        PlanMade(trajectory=Trajectory(abstraction="an area", steps=(step,))),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return fold("s", [Entry(seq=seq, at=at, event=event) for seq, event in enumerate(events, 1)])


def test_a_step_is_told_an_earlier_answer_as_a_known_result_with_its_symbol() -> None:
    turn = Turn(problem="What is 3 + 4? And then?", reply="40", steps=(SUM, PRODUCT))
    asked = session("Let K be the previous answer. Double K.", turn, uses=("s1", "s2", "s6"))
    assert [statement.id for statement in asked.statements] == ["s1", "s2", "s3", "s4", "s5", "s6"]
    request = request_for(asked, Instantiate(step_id=1, attempt=1))
    assert [statement.id for statement in request.statements] == ["s1", "s2"]
    (known,) = request.known
    assert (known.name, known.goal, known.value, known.symbol) == ("s6", "Find the product", "40", "K")


def test_of_several_earlier_answers_the_last_one_has_the_symbol() -> None:
    turns = (Turn(problem="What is 3 + 4?", steps=(SUM,)), Turn(problem="And 5 times 8?", steps=(PRODUCT,)))
    asked = session("Add 1 to that result.", *turns, uses=("s1", "s3", "s5"))
    known = request_for(asked, Instantiate(step_id=1, attempt=1)).known
    assert [(result.name, result.value, result.symbol) for result in known] == [
        ("s3", "-7/2", None),
        ("s5", "40", "that result"),
    ]


def test_an_answer_known_only_in_words_stays_a_statement() -> None:
    asked = session("Double it.", Turn(problem="What is 3 + 4?", reply="It is 7."), uses=("s1", "s3"))
    request = request_for(asked, Instantiate(step_id=1, attempt=1))
    assert request.statements == (
        Statement(id="s1", text="Double it."),
        Statement(id="s3", text="Earlier reply: It is 7."),
    )
    assert request.known == ()
