"""One piece of a corpus, in memory and as a line of a file."""

import json
from typing import NamedTuple

from evaluation.ladder import Split
from reasonflux.contracts import Contract
from training.corpus.mixture import Conversation, Turn


class Sample(NamedTuple):
    """A conversation to learn from, and where it comes from."""

    problem: str | None
    """Its text, which decides the side of the split; of a follow-up, the problem that began the conversation."""
    conversation: Conversation
    source: str
    kind: str
    split: Split | None = None
    """Said by a source that keeps its problems apart itself; else the problem's text decides."""


class LearnedMessage(Contract):
    role: str
    content: str
    learn: bool = False


class Row(Contract):
    """A line of `train.jsonl` or `heldout.jsonl`: chat format; the loss is taken on messages with `learn` alone."""

    messages: tuple[LearnedMessage, ...]
    problem: str | None = None
    """The digest of the problem's text (`evaluation.ladder.problem.digest`); None where there is no problem."""
    source: str
    kind: str

    @property
    def conversation(self) -> Conversation:
        return tuple(Turn(m.role, m.content, m.learn) for m in self.messages)


def told(conversation: Conversation) -> tuple[LearnedMessage, ...]:
    return tuple(LearnedMessage(role=t.role, content=t.content, learn=t.learn) for t in conversation)


def navigator_kind(conversation: Conversation) -> str:
    """What a navigator's conversation teaches: `planning`, `declining`, `review`, or `recovery` after a retry or a
    revision."""
    replies = [json.loads(turn.content) for turn in conversation if turn.role == "assistant"]  # canonical: JSON each
    verdicts = {reply["verdict"] for reply in replies if "verdict" in reply}
    if not verdicts:
        return "planning" if any(reply["steps"] for reply in replies) else "declining"
    return "recovery" if verdicts & {"retry", "revise"} else "review"
