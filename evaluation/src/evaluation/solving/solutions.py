"""Solutions and their beginnings."""

from pydantic import Field

from reasonflux.contracts import Contract, Retrieval


class Chain(Contract):
    """A whole solution, or as much as there is of one."""

    text: str
    answer: str | None
    fit: float | None = None
    """How well the templates fit that it followed, 0 to 1; the one that fits least counts. None: it followed none."""


class Step(Contract):
    """One step, as a chat model writes it; the last one of a solution has the answer."""

    step: str = Field(min_length=1)
    answer: str | None = None


class ExecutedStep(Step):
    """A step that the executor carried out on the next statements of the problem."""

    read: int = Field(ge=1)
    """Statements that it took."""
    goal: str
    result: str
    fit: float | None = None


class Path(Contract):
    """The beginning of a solution, or a whole one."""

    steps: tuple[ExecutedStep | Step, ...] = ()

    @property
    def answer(self) -> str | None:
        return self.steps[-1].answer if self.steps else None

    @property
    def finished(self) -> bool:
        return self.answer is not None

    @property
    def text(self) -> str:
        lines = [f"{number}. {step.step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"Answer: {self.answer}"] if self.finished else lines)

    @property
    def chain(self) -> Chain:
        fits = [step.fit for step in self.steps if isinstance(step, ExecutedStep) and step.fit is not None]
        return Chain(text=self.text, answer=self.answer, fit=min(fits, default=None))

    def plus(self, step: Step) -> "Path":
        return Path(steps=(*self.steps, step))


def fit_of(retrieval: Retrieval) -> float | None:
    """The store's calibrated probability that the template it chose is the right one. None: it chose none."""
    chosen = retrieval.template
    scores = [one.score for one in retrieval.candidates if chosen is not None and one.template_id == chosen.id]
    return scores[0] if scores else None
