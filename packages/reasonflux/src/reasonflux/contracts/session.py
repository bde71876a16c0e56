"""A session: one problem's journal, folded."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from reasonflux.contracts.base import Contract
from reasonflux.contracts.conversation import MAX_INSTRUCTIONS_CHARS, Turn, TurnStep
from reasonflux.contracts.errors import Failure
from reasonflux.contracts.events import Delivery, Entry, OnDisconnect, Options, Outcome
from reasonflux.contracts.instantiation import Instantiation
from reasonflux.contracts.problem import MAX_PROBLEM_CHARS, Problem, Statement, not_blank, split_sentences
from reasonflux.contracts.template import Retrieval
from reasonflux.contracts.trajectory import Review, Step
from reasonflux.contracts.usage import DEFAULT_ENGINE, ENGINE_NAME, MOST_TOKENS, Budget, Effort, Sampling, Usage

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=4_096)]], Field(max_length=64)
]
"""What a client keeps with its session."""


class Phase(StrEnum):
    """Where a step stands."""

    PLANNED = "planned"
    RETRIEVED = "retrieved"
    INSTANTIATED = "instantiated"
    DONE = "done"
    DROPPED = "dropped"


class StepState(Contract):
    step: Step
    phase: Phase = Phase.PLANNED
    since: int = Field(default=1, description="the entry that brought it there")
    retrieval: Retrieval | None = None
    instantiations: tuple[Instantiation, ...] = ()
    reviews: tuple[Review, ...] = ()

    @property
    def result(self) -> str | None:
        """The value that later steps may use; None until the step is done."""
        return self.instantiations[-1].result if self.phase is Phase.DONE and self.instantiations else None


class Session(Contract):
    """The fold of a journal: everything that is known about one problem's solution so far."""

    id: str
    problem: Problem
    options: Options = Options()
    delivery: Delivery = Delivery()
    parent: str | None = None
    turns: tuple[Turn, ...] = ()
    instructions: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
    outcome: Outcome | None = Field(default=None, description="None while it runs")
    abstraction: str | None = None
    complete: bool = Field(default=False, description="the trajectory reaches the answer; nothing is left to plan")
    done: tuple[str, ...] = Field(default=(), description="statements that the plans so far have dealt with")
    steps: tuple[StepState, ...] = ()
    revisions: int = 0
    rounds: int = Field(default=0, description="navigator–executor exchanges so far")
    failures: dict[str, int] = Field(default_factory=dict, description="failed tries per action")
    last_failure: Failure | None = None
    reply: str | None = Field(default=None, description="the answer in words, when no step was needed to give it")
    answer: str | None = None
    explanation: str = ""
    usage: Usage = Usage()
    speculated: int = Field(default=0, description="tokens of work begun ahead of a verdict that went another way")
    started_at: datetime
    updated_at: datetime
    last_seq: int = 1

    @property
    def finished(self) -> bool:
        return self.outcome is not None

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What steps may point at: the problem's statements, and behind them those of the earlier turns."""
        own = self.problem.statements
        earlier = enumerate(self._earlier(), len(own) + 1)
        return (*own, *(Statement(id=f"s{n}", text=text) for n, (text, _) in earlier))

    @property
    def earlier_results(self) -> dict[str, TurnStep]:
        """The results of earlier turns, in their order, by the id of the statement that tells each of them."""
        earlier = enumerate(self._earlier(), len(self.problem.statements) + 1)
        return {f"s{n}": step for n, (_, step) in earlier if step is not None}

    def _earlier(self) -> Iterator[tuple[str, TurnStep | None]]:
        """What the earlier turns tell, in words, and the step whose result that is."""
        for turn in self.turns:
            yield from ((sentence, None) for sentence in split_sentences(turn.problem))
            yield from ((f"Earlier result: {step.goal}: {step.result}", step) for step in turn.steps)
            if not turn.steps and turn.reply.strip():
                yield f"Earlier reply: {' '.join(turn.reply.split())[:500]}", None

    @property
    def seconds(self) -> float:
        """From the first event to the last, on the journal's clock (which may have been set back meanwhile)."""
        return max(0.0, (self.updated_at - self.started_at).total_seconds())

    def step(self, step_id: int) -> StepState:
        for state in self.steps:
            if state.step.id == step_id:
                return state
        raise KeyError(f"session {self.id} has no step {step_id}")


class CreateSession(Contract):
    """The body of `POST /v1/sessions`."""

    problem: str = Field(min_length=1, max_length=MAX_PROBLEM_CHARS)
    effort: Effort = Effort.MEDIUM
    budget: Budget | None = Field(default=None, description="overrides what the effort stands for")
    library: str = Field(default="math", max_length=128)
    engine: str = Field(
        default=DEFAULT_ENGINE,
        pattern=ENGINE_NAME,
        description="one of the engine profiles that the operator offers; `GET /v1/models` names them",
    )
    instructions: str = Field(
        default="",
        max_length=MAX_INSTRUCTIONS_CHARS,
        description="standing instructions: conventions, notation, the reader's level; trained weights read none",
    )
    horizon: int | None = Field(default=None, ge=1, le=1_000)
    review: bool = True
    retrieve: bool = True
    templates: tuple[Annotated[str, Field(max_length=200)], ...] = Field(
        default=(),
        max_length=64,
        description="ids of templates in place of what retrieval finds: the n-th step of the plan follows the n-th",
    )
    max_revisions: int = Field(
        default=3, ge=0, le=64, description="changes of plan before the session gives up; 0: plan once"
    )
    speculation: int | None = Field(
        default=None,
        ge=0,
        le=MOST_TOKENS,
        description="tokens that may be lost to steps and plans begun while the last result is still under review; "
        "0: they wait; null: what the operator set",
    )
    sampling: Sampling = Sampling()
    parent: str | None = Field(
        default=None, max_length=128, description="a finished session that this problem follows up"
    )
    turns: tuple[Turn, ...] = Field(
        default=(), max_length=64, description="a conversation held elsewhere, in place of a parent"
    )
    on_disconnect: OnDisconnect = OnDisconnect.CONTINUE
    webhook: str | None = Field(
        default=None,
        max_length=2048,
        description="a POST to this URL when the session has finished; its origin must be on the operator's list",
    )
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("problem")
    @classmethod
    def _not_blank(cls, problem: str) -> str:
        return not_blank(problem)


class EventPage(Contract):
    """A page of a journal; ask again with `after` = the last entry's seq."""

    session_id: str
    entries: tuple[Entry, ...]
    finished: bool
