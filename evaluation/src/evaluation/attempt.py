"""What an evaluation asks and what it gets: a task, and an attempt at it."""

from enum import StrEnum

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

    @classmethod
    def of_ladder(cls, problem: LadderProblem) -> "Task":
        families = tuple(stage.family for stage in problem.stages)
        return cls(id=problem.id, text=problem.text, gold=problem.answer, depth=problem.depth, families=families)

    @classmethod
    def of_outside(cls, text: str) -> "Task":
        return cls(id=digest(text)[:16], text=text)


class Verdict(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    DECLINED = "declined"
    FAILED = "failed"


class Attempt(Contract):
    """What came of a task, and what it cost."""

    task: Task
    outcome: Outcome
    answer: str | None = None
    verdict: Verdict
    rounds: int = 0
    revisions: int = 0
    seconds: float = 0.0
    usage: Usage = Usage()
    templates: tuple[str, ...] = ()
    """Ids of the templates of the steps that are done."""
    session: str | None = None
    failure: Failure | None = None

    @property
    def right(self) -> bool:
        """Whether this was the right thing to do: the right answer, or to decline where there is none."""
        return self.verdict is (Verdict.DECLINED if self.task.gold is None else Verdict.RIGHT)


def judge(task: Task, outcome: Outcome, answer: str | None, failure: Failure | None = None) -> Verdict:
    """The verdict. To decline is a decision: what a `failure` ended (unusable replies, a spent budget …) failed.

    It may compare formulas for some seconds: call it outside an event loop's thread.
    """
    if outcome is Outcome.UNSOLVED and failure is None:
        return Verdict.DECLINED
    if outcome is not Outcome.SOLVED:
        return Verdict.FAILED
    return Verdict.RIGHT if task.gold is not None and grade(answer, task.gold) else Verdict.WRONG
