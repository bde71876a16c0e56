"""Monte Carlo tree search over solution steps: select, expand, simulate, back up."""

import math
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from evaluation.attempt import Solution, Task
from evaluation.solving.judges import JudgeName, judge_of, scored
from evaluation.solving.means import Judge, Means, Steps
from evaluation.solving.model import Model
from evaluation.solving.solutions import Path
from evaluation.solving.voting import vote
from reasonflux.contracts import Contract

NEUTRAL = 0.5
"""What nothing is known about."""


@dataclass(eq=False)
class Node:
    """A beginning of a solution. `total` is the sum of `scored` values; `visits` also counts simulations that got no
    score."""

    path: Path = field(default_factory=Path)
    parent: "Node | None" = None
    children: "list[Node]" = field(default_factory=list)
    visits: int = 0
    scored: int = 0
    total: float = 0.0

    @property
    def value(self) -> float:
        return self.total / self.scored if self.scored else NEUTRAL


class Mcts(Contract):
    """n simulations. The answer is the one whose simulations have the highest sum of values."""

    strategy: Literal["mcts"] = "mcts"
    n: int = Field(default=16, ge=1)
    branching: int = Field(default=3, ge=1)
    depth: int = Field(default=8, ge=1)
    exploration: float = Field(default=1.4, ge=0)
    judge: JudgeName = "llm"

    async def solve(self, task: Task, means: Means) -> Solution:
        judge, root = judge_of(means, self.judge), Node()
        ends: list[tuple[Path, float | None]] = []
        for number in range(self.n):
            model = means.model.branch(number)
            leaf = select(root, self.branching, self.exploration)
            node = await expand(leaf, task.text, means.steps, model, self.depth)
            path, value = await simulate(node, task.text, means.steps, judge, model)
            back_up(node, value)
            ends.append((path, value))
        weights = [NEUTRAL if value is None else value for _, value in ends]
        found = await vote([path.answer for path, _ in ends], weights)
        chosen = ends[found.winner][0] if found.winner is not None else None
        return Solution(
            answer=chosen and chosen.answer,
            text=chosen and chosen.text,
            rounds=root.visits,
            counts={"ties": min(1, found.tied), "solutions without an answer": found.without_answer},
        )


def select(root: Node, branching: int, exploration: float) -> Node:
    """Down the tree by UCT, to the first node that has room for another child or is a whole solution."""
    node = root
    while len(node.children) >= branching and not node.path.finished:
        parent = node
        node = max(parent.children, key=lambda child: uct(child, parent.visits, exploration))
    return node


async def expand(leaf: Node, problem: str, steps: Steps, model: Model, depth: int) -> Node:
    """A new child with one more step. The leaf itself where there is none: it is whole, deep enough, or the step was
    unreadable."""
    if leaf.path.finished or len(leaf.path.steps) >= depth:
        return leaf
    path = await steps.go_on(problem, leaf.path, model, model.limits.temperature)
    if path is None:
        return leaf
    child = Node(path, parent=leaf)
    leaf.children.append(child)
    return child


async def simulate(node: Node, problem: str, steps: Steps, judge: Judge, model: Model) -> tuple[Path, float | None]:
    """The rest of the solution in one go, and what the judge thinks of the whole."""
    path = await steps.finish(problem, node.path, model, model.limits.temperature)
    return path, await scored(judge, problem, path.chain, model)


def back_up(node: Node, value: float | None) -> None:
    """The visit, and the value if there is one, on the way up to the root."""
    current: Node | None = node
    while current is not None:
        current.visits += 1
        if value is not None:
            current.scored += 1
            current.total += value
        current = current.parent


def uct(child: Node, parent_visits: int, exploration: float) -> float:
    """The upper confidence bound; a child that was never visited comes first."""
    if child.visits == 0:
        return math.inf
    return child.value + exploration * math.sqrt(math.log(parent_visits) / child.visits)
