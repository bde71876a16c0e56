"""One chain of thought."""

from typing import Literal

from evaluation.attempt import Solution, Task
from evaluation.solving.means import Means
from reasonflux.contracts import Contract


class Direct(Contract):
    """The model solves the problem once, with the calculator or without."""

    strategy: Literal["direct"] = "direct"
    calculator: bool = False

    async def solve(self, task: Task, means: Means) -> Solution:
        chain = await means.write(task, means, means.model, means.single, tool=self.calculator)
        return Solution(answer=chain.answer, text=chain.text, fit=chain.fit)
