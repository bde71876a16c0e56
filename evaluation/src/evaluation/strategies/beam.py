"""Step-level beam search."""

from typing import Literal

from pydantic import Field

from evaluation.attempt import Solution, Task
from evaluation.solving.judges import JudgeName, judge_of, scored
from evaluation.solving.means import Judge, Means, Steps
from evaluation.solving.model import Model, gather
from evaluation.solving.solutions import Path
from reasonflux.contracts import Contract

Scored = tuple[Path, float | None]


class Beam(Contract):
    """n beginnings are kept. Each is carried on in `branching` ways, the judge scores all, and the best n stay."""

    strategy: Literal["beam"] = "beam"
    n: int = Field(default=4, ge=1)
    branching: int = Field(default=3, ge=1)
    depth: int = Field(default=8, ge=1)
    judge: JudgeName = "llm"

    async def solve(self, task: Task, means: Means) -> Solution:
        judge, model = judge_of(means, self.judge), means.model
        kept: list[Scored] = [(Path(), None)]
        levels = 0
        while levels < self.depth and not all(path.finished for path, _ in kept):
            levels += 1
            grown = await grow(task.text, kept, means.steps, judge, model, self.branching)
            finished = [one for one in kept if one[0].finished]
            if not grown and not finished:
                break
            kept = best([*finished, *grown], self.n)
        path = await means.steps.finish(task.text, kept[0][0], model, 0.0)
        tied = sum(score is not None and score == kept[0][1] for _, score in kept[1:])
        return Solution(answer=path.answer, text=path.text, rounds=levels, counts={"ties": min(1, tied)})


async def grow(
    problem: str, kept: list[Scored], steps: Steps, judge: Judge, model: Model, branching: int
) -> list[Scored]:
    """Every unfinished beginning carried on by one step in several ways, with scores; twins are dropped."""
    temperature = model.limits.temperature
    open_paths = [path for path, _ in kept if not path.finished]
    level = model.branch(model.next_seed())
    found = await gather(
        *(steps.go_on(problem, path, level.branch(k), temperature) for k, path in enumerate(open_paths * branching))
    )
    paths = list({path.text: path for path in found if path is not None}.values())
    scores = await gather(*(scored(judge, problem, path.chain, level.branch(-1 - k)) for k, path in enumerate(paths)))
    return list(zip(paths, scores, strict=True))


def best(candidates: list[Scored], width: int) -> list[Scored]:
    """The `width` best. What has no score comes after all that have one; among equals the earlier comes first."""
    return sorted(candidates, key=lambda one: (one[1] is None, -(one[1] or 0.0)))[:width]
