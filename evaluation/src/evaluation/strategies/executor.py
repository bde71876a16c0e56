"""The executor alone: the whole problem as one step, with a template or without."""

from typing import Literal

from evaluation.attempt import Solution, Task
from evaluation.solving.chains import instantiate
from evaluation.solving.means import Means, MeansMissing
from reasonflux.contracts import Contract, Query, SearchRequest, ThoughtTemplate


class Executor(Contract):
    """No navigator: what templates are worth by themselves. The oracle takes the template of the gold trajectory's last
    step. goal: the question as it stands, or the gold one, in the words of a plan; it is also what is searched for."""

    strategy: Literal["executor"] = "executor"
    templates: Literal["retrieved", "none", "oracle"] = "none"
    goal: Literal["question", "gold"] = "question"
    library: str = "math"

    async def solve(self, task: Task, means: Means) -> Solution:
        if self.goal == "gold" and task.goal is None:
            raise _nobody_knows(task, "goal")
        goal = task.goal if self.goal == "gold" else None
        template = await self._template(task, goal, means)
        chain = await instantiate(task, means, means.model, means.single, template, goal)
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
    hint = "gold trajectories are known of the ladder's problems only, without --outside"
    return MeansMissing(f"nobody knows the gold {what} of {task.id}", hint=hint)
