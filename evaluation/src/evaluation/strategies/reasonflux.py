"""Our service, through its API: a session for each task."""

from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from pydantic import Field

from evaluation.attempt import Solution, Task
from evaluation.solving.means import Means, MeansMissing
from evaluation.solving.model import Model
from evaluation.solving.solutions import Chain, fit_of
from reasonflux.contracts import (
    Contract,
    CreateSession,
    Effort,
    Failure,
    FailureKind,
    Outcome,
    Phase,
    Sampling,
    Session,
)
from reasonflux.errors import ReasonFluxError

PATIENCE = 8
"""How often in a row a task is offered to a navigator that is busy."""


class ReasonFlux(Contract):
    """The navigator plans over templates, the executor carries out, the navigator reviews.

    templates: found by retrieval, none at all, or the oracle's (the gold trajectory's, in the order of the plan).
    plan_once: results are reviewed and tried again, but the plan is never changed.
    """

    strategy: Literal["reasonflux"] = "reasonflux"
    effort: Effort = Effort.MEDIUM
    horizon: int | None = Field(default=None, ge=1)
    review: bool = True
    plan_once: bool = False
    templates: Literal["retrieved", "none", "oracle"] = "retrieved"
    library: str = "math"

    async def solve(self, task: Task, means: Means) -> Solution:
        navigator = means.navigator
        if navigator is None:
            raise MeansMissing("this run has no navigator", hint="say where it runs with --navigator-url")
        session = await self._created(self.request(task, means), means)
        async with aclosing(navigator.events(session.id)) as events:
            async for _ in events:
                pass
        return solution_of(await navigator.get(session.id))

    def request(self, task: Task, means: Means) -> CreateSession:
        """The switches as the navigator takes them. Raises MeansMissing."""
        if self.templates == "oracle" and not task.templates:
            hint = "the oracle knows the ladder's problems only, without --outside"
            raise MeansMissing(f"nobody knows the gold templates of {task.id}", hint=hint)
        switches = CreateSession(
            problem=task.text,
            effort=self.effort,
            horizon=self.horizon,
            review=self.review,
            retrieve=self.templates != "none",
            templates=task.templates if self.templates == "oracle" else (),
            library=self.library,
            sampling=Sampling(temperature=means.single, seed=means.seed) if means.single else Sampling(),
            metadata={"run": means.run, "task": task.id},
        )
        return switches.model_copy(update={"max_revisions": 0}) if self.plan_once else switches

    async def _created(self, request: CreateSession, means: Means) -> Session:
        """The attempt's own session: a run that goes on after a kill meets the sessions that it began instead of paying
        for them twice."""
        assert means.navigator is not None
        for turn in range(PATIENCE):
            try:
                return await means.navigator.create(request, idempotency_key=means.key)
            except ReasonFluxError as error:
                if error.failure.kind is not FailureKind.OVERLOADED:
                    raise
            await means.sleep(min(30.0, 0.5 * 2.0**turn))
        return await means.navigator.create(request, idempotency_key=means.key)


async def by_trajectory(task: Task, means: Means, model: Model, temperature: float, *, tool: bool) -> Chain:
    """A whole solution by our service: one trajectory, sampled and carried out, never reviewed or changed. What a
    navigator is worth without the loop."""
    seed = model.next_seed()
    own = replace(means, single=temperature, seed=seed, key=f"{means.key}-{seed}")
    found = await ReasonFlux(review=False, plan_once=True).solve(task, own)
    model.meter.add(found.usage)
    return Chain(text=found.text or "", answer=found.answer, fit=found.fit)


def solution_of(session: Session) -> Solution:
    """A finished session as a solution."""
    found = [state.retrieval for state in session.steps if state.phase is Phase.DONE and state.retrieval]
    fits = [fit for retrieval in found if (fit := fit_of(retrieval)) is not None]
    return Solution(
        answer=session.answer,
        outcome=session.outcome or Outcome.FAILED,
        rounds=session.rounds,
        revisions=session.revisions,
        seconds=session.seconds,
        usage=session.usage,
        templates=tuple(one.template.id for one in found if one.template is not None),
        fit=min(fits, default=None),
        session=session.id,
        failure=_ended_by(session),
    )


def _ended_by(session: Session) -> Failure | None:
    """The failure that the session could not get past, if that is how it ended. A session also remembers failures
    that it got past; the one that ended it is its explanation."""
    last = session.last_failure
    if last is None or session.outcome is Outcome.SOLVED:
        return None
    return last if session.outcome is not Outcome.UNSOLVED or last.message == session.explanation else None
