"""The executor alone: the whole problem as one step, with a template or without."""

from typing import Literal

from evaluation.attempt import Solution, Task
from evaluation.solving.chains import instantiate
from evaluation.solving.means import Means, MeansMissing
from reasonflux.contracts import Contract, Query, SearchRequest, ThoughtTemplate


class Executor(Contract):
    """No navigator: what templates are worth by themselves. The oracle takes the template of the gold trajectory's last
    step. step: the whole problem and its question as they stand, or the gold step, for problems that take one: its
    goal, which is also what is searched for, and its statements."""

    strategy: Literal["executor"] = "executor"
    templates: Literal["retrieved", "none", "oracle"] = "none"
    step: Literal["question", "gold"] = "question"
    library: str = "math"

    async def solve(self, task: Task, means: Means) -> Solution:
        gold = self.step == "gold"
        if gold and (task.goal is None or task.depth > 1):
            raise _nobody_knows(task, "step")
        template = await self._template(task, task.goal if gold else None, means)
        chain = await instantiate(task, means, means.model, means.single, template, gold=gold)
        used = (template.id,) if template is not None else ()
        return Solution(answer=chain.answer, text=chain.text, templates=used)

    async def _template(self, task: Task, goal: str | None, means: Means) -> ThoughtTemplate | None:
        if self.templates == "none":
            return None
        if means.templates is None:
            raise MeansMissing("this run has no template store", hint="say where it runs with --template-store-url")
        if self.templates == "retrieved":
            request = SearchRequest(queries=(Query(name=goal or "", text=task.text),), library=self.library)
            return (await means.templates.search(request)).retrievals[0].template
        if not task.templates:
            raise _nobody_knows(task, "templates")
        return await means.templates.get(task.templates[-1], library=self.library)


def _nobody_knows(task: Task, what: str) -> MeansMissing:
    hint = "gold trajectories of one step are known of the ladder's problems with --depth 1"
    return MeansMissing(f"nobody knows the gold {what} of {task.id}", hint=hint)
