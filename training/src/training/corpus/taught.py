"""Trajectories that a teacher told, as files and as conversations to learn from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from evaluation.ladder.problem import digest
from navigator.planning import Profile
from navigator.view import horizon_for
from reasonflux.contracts import (
    Contract,
    Entry,
    Event,
    Instantiation,
    Options,
    PlanMade,
    Problem,
    Query,
    Retrieval,
    Review,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRetrieved,
    StepReviewed,
    Tokens,
    Trajectory,
    Verdict,
)
from training.corpus import lines
from training.corpus.mixture import TAGS_PER_QUERY, Library
from training.corpus.sample import Sample, navigator_kind
from training.corpus.sessions import LeftOut, conversations_of, shows_what_is_used

SOURCE = "teacher"
TRAJECTORIES, REJECTS = "trajectories.jsonl", "rejects.jsonl"
_HINT = "it is written by the teacher stage; move it away to begin anew"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class TaughtStep(Contract):
    goal: str = Field(min_length=1)
    template_id: str | None
    uses: tuple[str, ...] = Field(min_length=1)
    result: str = Field(min_length=1)


class Taught(Contract):
    """A problem's trajectory as the teacher tells it. Step n's result is `r<n>`."""

    problem: str
    answer: str | None
    """None: nobody knows it, and nothing was verified."""
    abstraction: str
    steps: tuple[TaughtStep, ...] = Field(min_length=1)
    source: str = ""
    tokens: Tokens = Tokens()

    @property
    def id(self) -> str:
        return digest(self.problem)


class Rejected(Contract):
    """A problem of which no trajectory could be made. Delete its line to have it tried again."""

    id: str
    source: str
    reason: str
    message: str
    reply: str
    tokens: Tokens = Tokens()


def read_taught(folder: Path) -> list[Taught]:
    """The trajectories so far. Raises InvalidRequest with the line that cannot be read."""
    return list(lines.read(folder / TRAJECTORIES, Taught, _HINT))


def read_rejects(folder: Path) -> list[Rejected]:
    return list(lines.read(folder / REJECTS, Rejected, _HINT))


def taught_samples(folder: Path, library: Library, profile: Profile, left_out: Counter[str]) -> Iterator[Sample]:
    """The samples of every trajectory whose templates the library still has; `left_out` counts what gave none.

    Raises InvalidRequest when the folder is no teacher's."""
    for taught in read_taught(folder):
        if any(step.template_id is not None and step.template_id not in library for step in taught.steps):
            left_out["a template that the library does not have"] += 1
            continue
        for conversation in conversations_of("taught", taught_session(taught, library, profile), profile):
            if shows_what_is_used(conversation):
                yield Sample(taught.problem, conversation, SOURCE, navigator_kind(conversation))
            else:
                left_out[LeftOut.UNSEEN.value] += 1
    left_out.update(f"rejected: {reject.reason}" for reject in read_rejects(folder))


def taught_session(taught: Taught, library: Library, profile: Profile) -> list[Entry]:
    """The session that goes as the teacher told it: plan, then retrieval, result and review of each step. Where the
    service would plan a long problem a step at a time, it is planned so."""
    problem = Problem(text=taught.problem)
    horizon = horizon_for(problem) if profile is Profile.COMPACT else None
    steps = [_planned(number, step, library) for number, step in enumerate(taught.steps, 1)]
    events: list[Event] = [SessionStarted(problem=problem, options=Options(horizon=horizon))]
    for first in range(0, len(steps), horizon or len(steps)):
        part = steps[first : first + (horizon or len(steps))]
        events.append(PlanMade(trajectory=_part(taught, part, steps)))
        for step in part:
            events += _carried_out(step, taught.steps[step.id - 1], library, last=step is steps[-1])
    return [Entry(seq=seq, at=_EPOCH, event=event) for seq, event in enumerate(events, 1)]


def _planned(number: int, step: TaughtStep, library: Library) -> Step:
    template = None if step.template_id is None else library[step.template_id]
    query = None if template is None else Query(name=template.name, tags=template.tags[:TAGS_PER_QUERY])
    return Step(id=number, goal=step.goal, query=query, uses=step.uses)


def _part(taught: Taught, part: Sequence[Step], steps: Sequence[Step]) -> Trajectory:
    """What is planned in one go, and the statements that are done with it."""
    if len(part) == len(steps):
        return Trajectory(abstraction=taught.abstraction, steps=tuple(part))
    abstraction = "; ".join(step.goal.removeprefix("Find ") for step in part)
    last = part[-1].id
    done = [name for name in _behind(steps[:last], steps[last:]) if name not in _before(part, steps)]
    complete = last == len(steps)
    return Trajectory(
        abstraction=abstraction, steps=tuple(part), done=() if complete else tuple(done), complete=complete
    )


def _before(part: Sequence[Step], steps: Sequence[Step]) -> list[str]:
    return _behind(steps[: part[0].id - 1], steps[part[0].id - 1 :])


def _behind(taken: Sequence[Step], left: Sequence[Step]) -> list[str]:
    """The statements up to the last one used so far, without those that are still needed."""
    needed = {use for step in left for use in step.uses}
    read = max((int(use[1:]) for step in taken for use in step.uses if use.startswith("s")), default=0)
    return [name for name in (f"s{n}" for n in range(1, read + 1)) if name not in needed]


def _carried_out(step: Step, told: TaughtStep, library: Library, last: bool) -> Iterator[Event]:
    if step.query is not None and told.template_id is not None:
        retrieval = Retrieval(query=step.query, template=library[told.template_id])
        yield StepRetrieved(step_id=step.id, retrieval=retrieval)
    yield StepInstantiated(step_id=step.id, attempt=1, instantiation=Instantiation(result=told.result))
    review = Review(verdict=Verdict.CONTINUE, reason="ok")
    if last:
        review = Review(verdict=Verdict.FINISH, reason="solved", answer=told.result)
    yield StepReviewed(step_id=step.id, attempt=1, review=review)
