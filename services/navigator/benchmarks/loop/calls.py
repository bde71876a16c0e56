"""What the line to the engines has seen: every call of every session, and what follows from it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """One call as the engine's side of the line saw it, on the benchmark's clock."""

    session: str
    role: str
    began: float
    ended: float
    prompt: int
    cached: int
    completion: int


def engine_seconds(calls: Iterable[Call], since: float, until: float) -> float:
    """How long at least one call was with an engine."""
    total, reached = 0.0, since
    for call in sorted(calls, key=lambda call: call.began):
        began, ended = max(call.began, reached), min(call.ended, until)
        total += max(0.0, ended - began)
        reached = max(reached, ended)
    return total


def later_rounds(calls: Sequence[Call]) -> list[Call]:
    """The calls of one session from round 2 on: whatever began when its first review had ended."""
    reviewed = [call.ended for call in calls if call.role == "navigator"][1:2]
    return [call for call in calls if reviewed and call.began >= reviewed[0]]


def cached_share(calls: Iterable[Call]) -> dict[str, tuple[int, int]]:
    """By role: cached and all prompt tokens from round 2 on."""
    by_session: dict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.began):
        by_session[call.session].append(call)
    found = {"navigator": (0, 0), "executor": (0, 0)}
    for own in by_session.values():
        for call in later_rounds(own):
            cached, prompt = found[call.role]
            found[call.role] = (cached + call.cached, prompt + call.prompt)
    return found
