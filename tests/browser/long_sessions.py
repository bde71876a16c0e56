"""Sessions of two hundred steps: one that has ended, and one whose events come as fast as a test asks for."""

import asyncio
from dataclasses import dataclass

from navigator.journal import MemoryJournal
from reasonflux.contracts import (
    ActionKind,
    Budget,
    Calculation,
    Candidate,
    Delta,
    Event,
    Instantiation,
    Options,
    Outcome,
    PlanMade,
    Problem,
    Query,
    Retrieval,
    Review,
    SessionFinished,
    SessionStarted,
    Step,
    StepInstantiated,
    StepRetrieved,
    StepReviewed,
    ThoughtTemplate,
    Tokens,
    Trajectory,
    Verdict,
)

STEPS = 200
LONG_ID = "two-hundred-steps"
PROBLEM = Problem(text="Start with 1. Two hundred times, add the number of times so far. What is the result?")


async def finished(journal: MemoryJournal, template: ThoughtTemplate) -> None:
    """A session that has ended, of 602 events."""
    await journal.create(LONG_ID, started())
    claim = await journal.claim("nobody", 60.0)
    assert claim is not None
    each = [event for n in range(1, STEPS + 1) for event in of_step(n, template)]
    end = SessionFinished(outcome=Outcome.SOLVED, answer="20101", explanation="all steps are done")
    await journal.commit(claim, 2, [planned(), *each, end])


@dataclass(frozen=True)
class Flood:
    """How fast, and for how long; it starts when `go` is set."""

    rate: int
    seconds: float
    go: asyncio.Event


async def flood(journal: MemoryJournal, session_id: str, asked: Flood, template: ThoughtTemplate) -> None:
    """A tenth of the events are committed, the others are live text."""
    await journal.create(session_id, started())
    claim = await journal.claim("nobody", 600.0)
    assert claim is not None
    assert claim.session_id == session_id, "a worker of the house was faster"
    await journal.commit(claim, 2, [planned()])
    await asked.go.wait()
    loop = asyncio.get_running_loop()
    begun, sent, last = loop.time(), 0, 2
    entries = (event for n in range(1, STEPS + 1) for event in of_step(n, template))
    while loop.time() < begun + asked.seconds:
        while sent < asked.rate * (loop.time() - begun):
            sent += 1
            event = next(entries, None) if sent % 10 == 0 else None
            if event is not None:
                last = (await journal.commit(claim, last + 1, [event]))[-1].seq
            else:
                step = last // 3 + 1
                delta = Delta(action=ActionKind.INSTANTIATE, step_id=step, epoch=claim.epoch, text=f"word{sent} ")
                await journal.publish(session_id, delta)
        await asyncio.sleep(0.005)
    await journal.commit(claim, last + 1, [SessionFinished(outcome=Outcome.UNSOLVED, explanation="enough")])


def started() -> SessionStarted:
    return SessionStarted(problem=PROBLEM, options=Options(budget=Budget(rounds=256, tokens=200_000)))


def planned() -> PlanMade:
    steps = tuple(
        Step(
            id=n,
            goal=f"Add {n} to the number so far",
            query=Query(name="Adding up", tags=("sum",)),
            uses=("s1", *([f"r{n - 1}"] if n > 1 else [])),
        )
        for n in range(1, STEPS + 1)
    )
    return PlanMade(trajectory=Trajectory(abstraction="a long chain of additions", steps=steps), usage=spent())


def of_step(n: int, template: ThoughtTemplate) -> list[Event]:
    """Found, carried out, reviewed."""
    value = str(1 + n * (n + 1) // 2)
    parts = {"dense": 0.7, "bm25": 0.4, "name": 0.6, "tags": 0.5}
    candidates = tuple(
        Candidate(
            template_id=f"template-{place}", name=f"Candidate {place}", score=1 / place, parts=parts, matched=("name",)
        )
        for place in range(1, 6)
    )
    retrieval = Retrieval(query=Query(name="Adding up"), candidates=candidates, template=template)
    sums = (Calculation(statement=f"total = r{n - 1} + {n}", name="total", value=value),)
    instantiation = Instantiation(
        reasoning=f"The number so far grows by {n}.",
        bindings={"a": f"r{n - 1}"},
        calculations=sums,
        result=value,
        usage=spent(),
    )
    review = Review(verdict=Verdict.CONTINUE, reason="the sum is right")
    return [
        StepRetrieved(step_id=n, retrieval=retrieval),
        StepInstantiated(step_id=n, attempt=1, instantiation=instantiation),
        StepReviewed(step_id=n, attempt=1, review=review, usage=spent()),
    ]


def spent() -> Tokens:
    return Tokens(prompt=240, cached=180, completion=40, calls=1)
