"""Solutions one step at a time, for strategies that search among beginnings of solutions."""

from pydantic import Field, ValidationError

from evaluation.grading import extract
from evaluation.solving.model import Model
from evaluation.solving.prompts import render
from reasonflux.contracts import Contract
from reasonflux.engine_port import Message
from reasonflux.json_reply import ReplyUnparsable, parse_reply


class Step(Contract):
    """One step; the last one of a solution has the answer."""

    step: str = Field(min_length=1)
    answer: str | None = None


class Path(Contract):
    """The beginning of a solution, or a whole one."""

    steps: tuple[Step, ...] = ()

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

    def plus(self, step: Step) -> "Path":
        return Path(steps=(*self.steps, step))


async def go_on(problem: str, path: Path, model: Model, temperature: float) -> Path | None:
    """The path with one more step; None when the reply could not be read, which is counted."""
    reply = await model.say(
        _messages(problem, path, "Go on."), temperature=temperature, max_tokens=model.limits.step_tokens,
        schema=Step.model_json_schema(),
    )  # fmt: skip
    try:
        return path.plus(Step.model_validate(parse_reply(reply.text)))
    except (ReplyUnparsable, ValidationError):
        model.meter.counts["replies not readable"] += 1
        return None


async def finish(problem: str, path: Path, model: Model, temperature: float) -> Path:
    """The path carried on to an answer in one go; without one where the text gives none."""
    if path.finished:
        return path
    reply = await model.say(_messages(problem, path, render("finish")), temperature=temperature)
    return path.plus(Step(step=reply.text.strip() or "(nothing)", answer=extract(reply.text)))


def _messages(problem: str, path: Path, ask: str) -> list[Message]:
    """It only grows at its end, so the engine's prefix cache serves what two paths share."""
    opening = [Message(role="system", content=render("step")), Message(role="user", content=problem)]
    turns = [
        message
        for step in path.steps
        for message in (
            Message(role="assistant", content=step.model_dump_json()),
            Message(role="user", content="Go on."),
        )
    ]
    if not turns:
        return opening if ask == "Go on." else [*opening[:1], Message(role="user", content=f"{problem}\n\n{ask}")]
    return [*opening, *turns[:-1], Message(role="user", content=ask)]
