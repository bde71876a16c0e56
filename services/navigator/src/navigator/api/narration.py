"""A session told as text while it happens: what chat clients show as reasoning. Pure."""

from reasonflux.contracts import (
    ActionFailed,
    ActionKind,
    Delta,
    Entry,
    Event,
    PlanMade,
    Retrieval,
    SessionFinished,
    Step,
    StepInstantiated,
    StepRestarted,
    StepRetrieved,
    StepReviewed,
    Verdict,
)
from reasonflux.json_reply import FieldStream

Voice = tuple[int, int]
"""One try at one step: its id and the attempt."""


PLAN = "Plan: "
GOES_ON = "The plan goes on"


class PlanVoice:
    """Reads a plan out of the navigator LLM's JSON while it is being written, in the words of the finished plan."""

    def __init__(self, next_step: int) -> None:
        self.told = ""
        self._next_step = next_step
        self._field = FieldStream("abstraction" if next_step == 1 else "goal")
        self._opening = PLAN if next_step == 1 else f"{GOES_ON}{self._bullet()}"

    def feed(self, delta: str) -> str:
        said = ""
        for character in delta:
            if text := self._field.feed(character):
                said += self._opening + text
                self._opening = ""
            if self._field.done:
                self._field, self._opening = FieldStream("goal"), self._opening + self._bullet()
        self.told += said
        return said

    def _bullet(self) -> str:
        self._next_step += 1
        return f"\n  {self._next_step - 1}. "


class Narrator:
    """Turns entries and deltas, in the order of their arrival, into text to append.

    Steps that run in parallel speak one after the other: while one speaks, the words of the others are held back.
    Without deltas a step is told whole when it is done.
    """

    def __init__(self) -> None:
        self._goals: dict[int, str] = {}
        self._plan: PlanVoice | None = None
        self._begun: set[Voice] = set()
        self._speaker: Voice | None = None
        self._held: dict[Voice, str] = {}
        self._ended: set[Voice] = set()
        self._mid_line = False
        self._interrupted = False

    def hear(self, item: Entry | Delta) -> str:
        """The text to append for this item; often empty."""
        if isinstance(item, Entry):
            return self._tell(item.event)
        if item.action is ActionKind.PLAN:
            return self._plan_aloud(item.text)
        if item.action is not ActionKind.INSTANTIATE or item.step_id is None:
            return ""
        voice = (item.step_id, item.attempt)
        if item.restarted:
            return self._speak(voice, "\nThat could not be used; once more:\n") if voice in self._begun else ""
        return self._speak(voice, item.text) if item.text else ""

    def _tell(self, event: Event) -> str:
        match event:
            case PlanMade():
                title = GOES_ON if self._goals else f"{PLAN}{event.trajectory.abstraction}"
                return self._planned(title + self._steps(event.trajectory.steps))
            case StepRetrieved():
                return self._line(f"Step {event.step_id} {_found(event.retrieval)}")
            case StepInstantiated():
                return self._finished(event)
            case StepReviewed():
                return self._reviewed(event)
            case ActionFailed():
                return self._failed(event)
            case StepRestarted():
                self._plan = None
                self._begun.clear()
                self._held = {voice: text for voice, text in self._held.items() if voice in self._ended}
                return self._settle() + self._line("Another worker took over; what was under way starts again.")
            case SessionFinished():
                return self._settle()
        return ""

    def _speak(self, voice: Voice, text: str) -> str:
        if voice not in self._begun:
            self._begun.add(voice)
            text = self._header(voice) + text
        elif voice == self._speaker and self._interrupted:
            text = f"Step {voice[0]} goes on: {text.lstrip()}"
        if self._speaker is None:
            self._speaker = voice
            return self._write(text, fresh_line=True)
        if self._speaker != voice:
            self._held[voice] = self._held.get(voice, "") + text
            return ""
        self._interrupted = False
        return self._write(text)

    def _finished(self, event: StepInstantiated) -> str:
        voice, done = (event.step_id, event.attempt), event.instantiation
        told = f"Step {event.step_id} gives {done.result}."
        if done.result is None:
            told = f"Step {event.step_id} gave no result{': ' + done.failure.message if done.failure else '.'}"
        if voice not in self._begun:
            told = self._header(voice) + (f"{done.reasoning.rstrip()}\n" if done.reasoning.strip() else "") + told
            self._begun.add(voice)
        if self._speaker not in (None, voice):
            words = self._held.get(voice, "")
            self._held[voice] = f"{words}{_break(words)}{told}\n"
            self._ended.add(voice)
            return ""
        self._speaker = None
        return self._line(told) + self._next_speaker()

    def _reviewed(self, event: StepReviewed) -> str:
        review = event.review
        if review.verdict is Verdict.RETRY:
            return self._line(f"Step {event.step_id} is tried again: {review.reason}")
        if review.remainder is not None:
            changed = f"The plan changes: {review.reason}"
            return self._settle() + self._line(changed + self._steps(review.remainder.steps))
        return ""

    def _plan_aloud(self, text: str) -> str:
        if self._plan is None:
            self._plan = PlanVoice(max(self._goals, default=0) + 1)
        begins = not self._plan.told
        said = self._plan.feed(text)
        return self._write(said, fresh_line=begins) if said else ""

    def _planned(self, whole: str) -> str:
        """What is missing of the plan, or all of it when it turned out otherwise than it was begun."""
        told, self._plan = self._plan.told if self._plan else "", None
        return self._write(whole.removeprefix(told) + "\n") if whole.startswith(told) and told else self._line(whole)

    def _failed(self, event: ActionFailed) -> str:
        where = "" if event.step_id is None else f" of step {event.step_id}"
        told = f"The {event.action.value}{where} failed: {event.failure.message}"
        if event.action is not ActionKind.INSTANTIATE:
            self._plan = None
            return self._line(told)
        over = {voice for voice in self._begun if voice[0] == event.step_id} - self._ended
        self._begun -= over
        self._held = {voice: text for voice, text in self._held.items() if voice not in over}
        if self._speaker in over:
            self._speaker = None
        return self._line(told) + ("" if self._speaker else self._next_speaker())

    def _settle(self) -> str:
        """Whatever was held back; nobody speaks any more."""
        said = ""
        self._speaker = None
        while self._held:
            said += self._next_speaker()
            self._speaker = None
        return said

    def _next_speaker(self) -> str:
        """Those who have ended have their say, then the first who has not is the speaker."""
        said = ""
        for voice in list(self._held):
            said += self._write(self._held.pop(voice), fresh_line=True)
            if voice not in self._ended:
                self._speaker = voice
                break
        self._interrupted = False
        return said

    def _line(self, text: str) -> str:
        self._interrupted = self._speaker is not None
        return self._write(f"{text}\n", fresh_line=True)

    def _write(self, text: str, *, fresh_line: bool = False) -> str:
        said = ("\n" if fresh_line and self._mid_line else "") + text
        self._mid_line = not said.endswith("\n") if said else self._mid_line
        return said

    def _header(self, voice: Voice) -> str:
        step_id, attempt = voice
        again = f", attempt {attempt}" if attempt > 1 else ""
        return f"Step {step_id}{again}: {self._goals.get(step_id, '')}\n"

    def _steps(self, steps: tuple[Step, ...]) -> str:
        self._goals |= {step.id: step.goal for step in steps}
        return "".join(f"\n  {step.id}. {step.goal}" for step in steps)


def _found(retrieval: Retrieval) -> str:
    if retrieval.template is None:
        return "runs without a template: none fits."
    return f"follows the template {retrieval.template.name!r}."


def _break(text: str) -> str:
    return "\n" if text and not text.endswith("\n") else ""
