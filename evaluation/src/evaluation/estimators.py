"""What k attempts at a problem say: avg@k, pass@k and maj@k. Pure."""

from collections.abc import Sequence
from math import comb


def average(right: Sequence[bool]) -> float:
    """avg@k: the share of a problem's attempts that are right."""
    return sum(right) / len(right)


def pass_at(k: int, attempts: int, right: int) -> float:
    """pass@k: the chance that k of the attempts, drawn without putting back, hold a right one (unbiased for k draws
    from the strategy). Raises ValueError when there are fewer attempts than k."""
    if not 1 <= k <= attempts:
        raise ValueError(f"pass@{k} needs {k} attempts, not {attempts}")
    return 1 - comb(attempts - right, k) / comb(attempts, k)


def majority_right(groups: Sequence[Sequence[int]], right: Sequence[bool]) -> float:
    """maj@k: whether the most frequent answer is right. `groups` are the places of equal answers; of groups that tie
    one is drawn, so a tie counts by the share of right ones. Nobody answered: 0."""
    most = max((len(group) for group in groups), default=0)
    top = [group for group in groups if len(group) == most]
    return sum(right[group[0]] for group in top) / len(top) if top else 0.0
