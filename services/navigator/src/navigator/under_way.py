"""What a worker is doing for one session: the actions that are due, and those begun ahead of a review.

What was begun ahead is a bet on the review's verdict. It stays unheard until it is due; it is stopped when it never
will be, or when it costs more than the session may lose. Either way its cost is told.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

from navigator.policy import Action, Instantiate, Plan, Retrieve, ReviewStep
from navigator.work import Work
from reasonflux.contracts import ActionDropped, ActionKind, Event, Usage

Begin = Callable[[Action], Work]


class UnderWay:
    def __init__(self) -> None:
        self._due: dict[Action, Work] = {}
        self._ahead: dict[Action, Work] = {}

    def __bool__(self) -> bool:
        """Whether anything that is due is being done."""
        return bool(self._due)

    def keep(self, due: Sequence[Action], ahead: Sequence[Action]) -> list[ActionDropped]:
        """Go on with these, stop the rest. Returns what the stopped work has cost; what cost nothing is not told."""
        for action in due:
            if action in self._ahead and not self._ahead[action].stopped:
                self._due[action] = self._ahead.pop(action)
                self._due[action].live.release()
        lost = [action for action, work in self._ahead.items() if action not in ahead or work.stopped]
        return [
            *_dropped(self._due, [action for action in self._due if action not in due]),
            *_dropped(self._ahead, lost, ahead=True),
        ]

    def begin(self, due: Sequence[Action], begin: Begin) -> None:
        for action in due:
            if action not in self._due:
                self._due[action] = begin(action)

    def bet(self, ahead: Sequence[Action], begin: Begin, most: int) -> None:
        """Begin these unheard. All that is begun ahead may cost `most` tokens together, as far as engines tell."""

        def within(_: Usage) -> None:
            if sum(work.meter.spent.all.total for work in self._ahead.values()) > most:
                for work in self._ahead.values():
                    work.stop()

        for action in ahead:
            if action not in self._ahead:
                self._ahead[action] = begin(action)
                self._ahead[action].meter.told = within

    async def next(self, lost: asyncio.Task[None]) -> dict[Action, Event]:
        """What has ended, as soon as something that is due has, or the session is lost."""
        await asyncio.wait((lost, *(work.task for work in self._due.values())), return_when=asyncio.FIRST_COMPLETED)
        return {action: work.task.result() for action, work in self._due.items() if work.task.done()}

    def is_all(self, ended: Collection[Action]) -> bool:
        """Whether nothing goes on beside what has ended."""
        return not self._ahead and len(ended) == len(self._due)

    def told(self, actions: Iterable[Action]) -> None:
        """Their events are committed."""
        for action in actions:
            del self._due[action]

    def abandon(self) -> Usage:
        """Stop everything. Returns what it has cost and no entry tells."""
        return sum((work.stop() for work in self._works), Usage())

    async def gone(self) -> None:
        await asyncio.gather(*(work.task for work in self._works), return_exceptions=True)

    @property
    def _works(self) -> list[Work]:
        return [*self._due.values(), *self._ahead.values()]


def _dropped(works: dict[Action, Work], stopped: Sequence[Action], *, ahead: bool = False) -> list[ActionDropped]:
    costs = [(*name(action), works.pop(action).stop()) for action in stopped]
    told = [(kind, step_id, cost) for kind, step_id, cost in costs if cost.all.calls]
    return [ActionDropped(action=kind, step_id=step_id, usage=cost, ahead=ahead) for kind, step_id, cost in told]


def name(action: Action) -> tuple[ActionKind, int | None]:
    """What the journal calls an action."""
    kind = {
        Plan: ActionKind.PLAN,
        Retrieve: ActionKind.RETRIEVE,
        Instantiate: ActionKind.INSTANTIATE,
        ReviewStep: ActionKind.REVIEW,
    }
    return kind[type(action)], getattr(action, "step_id", None)
