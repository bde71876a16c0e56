"""Our service, through its API: a session for each task."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from evaluation.attempt import Attempt, Task, judge
from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession, Failure, FailureKind, Outcome, Phase, Session
from reasonflux.errors import ReasonFluxError

PATIENCE = 8
"""How often in a row a task is offered to a navigator that is busy."""
_ENDS_THE_RUN = (FailureKind.SERVICE_UNAVAILABLE, FailureKind.UNAUTHORIZED)


class ReasonFlux:
    """Solves tasks with the navigator.

    request: the switches (effort, horizon, review, retrieve …); its problem is replaced by the task's. run: names the
    run, so that a run that goes on after a kill meets the sessions that it began instead of paying for them twice.
    """

    def __init__(
        self,
        navigator: NavigatorClient,
        request: CreateSession,
        run: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._navigator = navigator
        self._request = request
        self._run = run
        self._sleep = sleep

    async def __call__(self, task: Task) -> Attempt:
        try:
            session = await self._solved(task)
        except ReasonFluxError as error:
            if error.failure.kind in _ENDS_THE_RUN:
                raise
            outcome = Outcome.FAILED
            verdict = judge(task, outcome, None)
            return Attempt(task=task, outcome=outcome, verdict=verdict, failure=error.failure)
        return await attempt_of(task, session)

    async def _solved(self, task: Task) -> Session:
        metadata = {**self._request.metadata, "run": self._run, "task": task.id}
        request = self._request.model_copy(update={"problem": task.text, "metadata": metadata})
        session = await self._created(request, f"{self._run}-{task.id}")
        async with aclosing(self._navigator.events(session.id)) as events:
            async for _ in events:
                pass
        return await self._navigator.get(session.id)

    async def _created(self, request: CreateSession, key: str) -> Session:
        for turn in range(PATIENCE):
            try:
                return await self._navigator.create(request, idempotency_key=key)
            except ReasonFluxError as error:
                if error.failure.kind is not FailureKind.OVERLOADED:
                    raise
            await self._sleep(min(30.0, 0.5 * 2.0**turn))
        return await self._navigator.create(request, idempotency_key=key)


async def attempt_of(task: Task, session: Session) -> Attempt:
    """A finished session as an attempt."""
    outcome, failure = session.outcome or Outcome.FAILED, _ended_by(session)
    done = [state.retrieval.template for state in session.steps if state.phase is Phase.DONE and state.retrieval]
    return Attempt(
        task=task,
        outcome=outcome,
        answer=session.answer,
        verdict=await asyncio.to_thread(judge, task, outcome, session.answer, failure),
        rounds=session.rounds,
        revisions=session.revisions,
        seconds=session.seconds,
        usage=session.usage,
        templates=tuple(template.id for template in done if template is not None),
        session=session.id,
        failure=failure,
    )


def _ended_by(session: Session) -> Failure | None:
    """The failure that the session could not get past, if that is how it ended. A session also remembers failures
    that it got past; the one that ended it is its explanation."""
    last = session.last_failure
    if last is None or session.outcome is Outcome.SOLVED:
        return None
    return last if session.outcome is not Outcome.UNSOLVED or last.message == session.explanation else None
