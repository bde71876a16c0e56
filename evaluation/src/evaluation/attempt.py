"""What an evaluation asks and what it gets: a task, and an attempt at it."""

from enum import StrEnum

from pydantic import Field

from evaluation.grading import grade
from evaluation.ladder import LadderProblem
from evaluation.ladder.problem import digest
from reasonflux.contracts import Contract, Failure, Outcome, Usage


class Task(Contract):
    """One problem. `gold` None: no answer is expected, and to decline is right."""

    id: str
    text: str
    gold: str | None = None
    depth: int = 0
    families: tuple[str, ...] = ()
    """In the order of the stages; the last one gives the answer."""
    templates: tuple[str, ...] = ()
    """Ids of the templates of the gold trajectory, in its order, where it is known."""
    goal: str | None = None
    """What the gold trajectory's last step is after, where it is known."""
    uses: tuple[str, ...] = ()
    """The statements and earlier results that this step takes: `s2`, `r1`."""
    subject: str | None = None
    level: str | None = None
    tolerance: float | None = None
    unit: str | None = None

    @classmethod
    def of_ladder(cls, problem: LadderProblem) -> "Task":
        return cls(
            id=problem.id,
            text=problem.text,
            gold=problem.answer,
            depth=problem.depth,
            families=tuple(stage.family for stage in problem.stages),
            templates=tuple(stage.template_id for stage in problem.stages),
            goal=problem.stages[-1].goal,
            uses=problem.stages[-1].uses,
        )

    @classmethod
    def of_outside(cls, text: str) -> "Task":
        return cls(id=digest(text)[:16], text=text)


class Verdict(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    DECLINED = "declined"
    FAILED = "failed"


class Solution(Contract):
    """What a strategy gives back. What its calls on the model cost is metered by `evaluation.solving.model`."""

    answer: str | None = None
    outcome: Outcome = Outcome.SOLVED
    text: str | None = None
    """The solution that the answer is taken from, to be read."""
    rounds: int = 1
    """Whole solutions sampled, levels of a beam, simulations, or navigator–executor exchanges."""
    revisions: int = 0
    usage: Usage = Usage()
    """What services spent on it that report their usage themselves."""
    seconds: float | None = None
    """None: as long as the strategy took."""
    templates: tuple[str, ...] = ()
    fit: float | None = None
    """How well its templates fit, by the store's calibrated scores; the one that fits least counts."""
    session: str | None = None
    failure: Failure | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    """What happened on the way, such as ties and scores that could not be read."""


class Attempt(Contract):
    """What came of a task, and what it cost."""

    task: Task
    sample: int = 0
    """Which of the attempts at this task, from 0."""
    seed: int | None = None
    outcome: Outcome
    answer: str | None = None
    text: str | None = None
    verdict: Verdict
    rounds: int = 0
    revisions: int = 0
    seconds: float = 0.0
    usage: Usage = Usage()
    templates: tuple[str, ...] = ()
    """Ids of the templates of the steps that are done."""
    fit: float | None = None
    session: str | None = None
    failure: Failure | None = None
    counts: dict[str, int] = Field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether this was the right thing to do: the right answer, or to decline where there is none."""
        return self.verdict is (Verdict.DECLINED if self.task.gold is None else Verdict.RIGHT)

    @property
    def key(self) -> tuple[str, int]:
        return self.task.id, self.sample


def judge(task: Task, outcome: Outcome, answer: str | None, failure: Failure | None = None) -> Verdict:
    """The verdict. To decline is a decision: what a `failure` ended (unusable replies, a spent budget …) failed.

    It may compare formulas for some seconds: call it outside an event loop's thread.
    """
    if outcome is Outcome.UNSOLVED and failure is None:
        return Verdict.DECLINED
    if outcome is not Outcome.SOLVED:
        return Verdict.FAILED
    if task.gold is None:
        return Verdict.WRONG
    right = grade(answer, task.gold, tolerance=task.tolerance, unit=task.unit)
    return Verdict.RIGHT if right else Verdict.WRONG
