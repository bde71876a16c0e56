"""The best of several solutions, as a judge sees them."""

from typing import Literal

from pydantic import Field

from evaluation.attempt import Solution, Task
from evaluation.solving.chains import sample
from evaluation.solving.judges import JudgeName, judge_of, scored
from evaluation.solving.means import Means
from evaluation.solving.model import gather
from evaluation.solving.voting import vote
from reasonflux.contracts import Contract


class BestOfN(Contract):
    """n whole solutions, and the one that the judge scores highest. The most frequent answer breaks a tie; a solution
    without a score is only chosen when none has one."""

    strategy: Literal["best_of_n"] = "best_of_n"
    n: int = Field(default=8, ge=1)
    judge: JudgeName = "llm"
    calculator: bool = False

    async def solve(self, task: Task, means: Means) -> Solution:
        judge = judge_of(means, self.judge)
        chains = await sample(self.n, task, means, tool=self.calculator)
        answered = [chain for chain in chains if chain.answer is not None]
        scores = await gather(
            *(scored(judge, task.text, one, means.model.branch(self.n + k)) for k, one in enumerate(answered))
        )
        top = max((score for score in scores if score is not None), default=None)
        best = [chain for chain, score in zip(answered, scores, strict=True) if score == top]
        found = await vote([chain.answer for chain in best])
        chosen = best[found.winner] if found.winner is not None else None
        return Solution(
            answer=chosen and chosen.answer,
            text=chosen and chosen.text,
            rounds=self.n,
            counts={
                "ties": len(best) > 1,
                "nothing scored": top is None and bool(answered),
                "solutions without an answer": len(chains) - len(answered),
            },
        )
