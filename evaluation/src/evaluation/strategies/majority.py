"""Self-consistency."""

from typing import Literal

from pydantic import Field

from evaluation.attempt import Solution, Task
from evaluation.solving.chains import sample
from evaluation.solving.means import Means
from evaluation.solving.voting import vote
from reasonflux.contracts import Contract


class Majority(Contract):
    """n whole solutions, and the answer that most of them give."""

    strategy: Literal["majority"] = "majority"
    n: int = Field(default=8, ge=1)
    calculator: bool = False

    async def solve(self, task: Task, means: Means) -> Solution:
        chains = await sample(self.n, task, means, tool=self.calculator)
        found = await vote([chain.answer for chain in chains])
        chosen = chains[found.winner] if found.winner is not None else None
        return Solution(
            answer=chosen and chosen.answer,
            text=chosen and chosen.text,
            rounds=self.n,
            counts={"ties": min(1, found.tied), "solutions without an answer": found.without_answer},
        )
