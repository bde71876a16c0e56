"""Which answer most solutions give. Two answers are one when the grader says so."""

import asyncio
from collections.abc import Sequence

from evaluation.grading import grade
from reasonflux.contracts import Contract


class Vote(Contract):
    """The outcome of a vote. `winner` is a place in the answers; None: nobody answered."""

    winner: int | None
    tied: int
    """Other answers with as many votes; the one that came first wins."""
    without_answer: int


async def vote(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> Vote:
    """Count the answers, each with its weight (1 unless given)."""
    groups = await asyncio.to_thread(alike, answers)
    each = weights or [1.0] * len(answers)
    totals = [sum(each[place] for place in group) for group in groups]
    top = max(totals, default=0.0)
    winners = [group[0] for group, total in zip(groups, totals, strict=True) if total >= top - 1e-9]
    return Vote(
        winner=winners[0] if winners else None,
        tied=max(0, len(winners) - 1),
        without_answer=sum(answer is None for answer in answers),
    )


def alike(answers: Sequence[str | None]) -> list[list[int]]:
    """The places of equal answers together, in the order in which each answer came first."""
    groups: list[list[int]] = []
    for place, answer in enumerate(answers):
        if answer is None:
            continue
        for group in groups:
            if answer == answers[group[0]] or grade(answer, answers[group[0]] or ""):
                group.append(place)
                break
        else:
            groups.append([place])
    return groups
