"""The journal's events: the one shape that streams, traces, evaluation and training read."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from reasonflux.contracts.base import Contract
from reasonflux.contracts.conversation import Turn
from reasonflux.contracts.errors import Failure
from reasonflux.contracts.instantiation import Instantiation
from reasonflux.contracts.problem import Problem
from reasonflux.contracts.template import Retrieval
from reasonflux.contracts.trajectory import Review, Trajectory
from reasonflux.contracts.usage import DEFAULT_ENGINE, Budget, Sampling, Tokens, Usage


class Outcome(StrEnum):
    SOLVED = "solved"
    UNSOLVED = "unsolved"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ActionKind(StrEnum):
    PLAN = "plan"
    RETRIEVE = "retrieve"
    INSTANTIATE = "instantiate"
    REVIEW = "review"


class Options(Contract):
    """How to solve: the switches that a caller, an ablation or a baseline sets."""

    library: str = "math"
    engine: str = Field(default=DEFAULT_ENGINE, description="the engine profile that both roles run on")
    budget: Budget = Budget()
    horizon: int | None = Field(default=None, ge=1, description="steps planned at a time; None: the whole trajectory")
    review: bool = Field(default=True, description="False: every result is accepted as it is (plan once)")
    retrieve: bool = Field(default=True, description="False: steps run without templates")
    templates: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="ids of templates in place of what retrieval finds: the n-th step of the plan follows the n-th; "
        "steps beyond them retrieve",
    )
    max_revisions: int = Field(default=3, ge=0, description="changes of plan before the session gives up")
    speculation: int = Field(
        default=0,
        ge=0,
        description="tokens that may be lost to work begun while the last step is still under review; 0: it waits",
    )
    sampling: Sampling = Sampling()


class OnDisconnect(StrEnum):
    """What becomes of a session when the last client that follows it leaves."""

    CONTINUE = "continue"
    CANCEL = "cancel"


class Delivery(Contract):
    """Who waits for the outcome, and how."""

    on_disconnect: OnDisconnect = OnDisconnect.CONTINUE
    webhook: str | None = Field(default=None, description="told when the session has finished")


class SessionStarted(Contract):
    type: Literal["session.started"] = "session.started"
    problem: Problem
    options: Options = Options()
    delivery: Delivery = Delivery()
    parent: str | None = Field(default=None, description="the session that this one follows up")
    turns: tuple[Turn, ...] = Field(default=(), description="what was said before, the latest last")
    instructions: str = Field(default="", description="the client's standing instructions, such as a system message")
    trace: str | None = Field(default=None, description="the trace that it belongs to, as a W3C traceparent")
    metadata: dict[str, str] = Field(default_factory=dict)


class PlanMade(Contract):
    """A first trajectory, or its continuation past the horizon."""

    type: Literal["plan.made"] = "plan.made"
    trajectory: Trajectory
    usage: Tokens = Tokens()


class StepRetrieved(Contract):
    type: Literal["step.retrieved"] = "step.retrieved"
    step_id: int
    retrieval: Retrieval


class StepInstantiated(Contract):
    type: Literal["step.instantiated"] = "step.instantiated"
    step_id: int
    attempt: int
    instantiation: Instantiation


class StepReviewed(Contract):
    type: Literal["step.reviewed"] = "step.reviewed"
    step_id: int
    attempt: int
    review: Review
    usage: Tokens = Tokens()


class ActionFailed(Contract):
    """An action that gave no outcome (engine down, unparsable replies). Tokens it burnt still count."""

    type: Literal["action.failed"] = "action.failed"
    action: ActionKind
    step_id: int | None = None
    failure: Failure
    usage: Usage = Usage()


class ActionDropped(Contract):
    """Work that a change of plan stopped half-way. Tokens it burnt still count."""

    type: Literal["action.dropped"] = "action.dropped"
    action: ActionKind
    step_id: int | None = None
    usage: Usage = Usage()
    ahead: bool = Field(default=False, description="begun ahead of a review, whose verdict then went another way")


class StepRestarted(Contract):
    """A new worker took over: partial text shown for actions in flight is void."""

    type: Literal["step.restarted"] = "step.restarted"
    epoch: int


class SessionFinished(Contract):
    type: Literal["session.finished"] = "session.finished"
    outcome: Outcome
    answer: str | None = None
    explanation: str = ""
    failure: Failure | None = None


Event = Annotated[
    SessionStarted
    | PlanMade
    | StepRetrieved
    | StepInstantiated
    | StepReviewed
    | ActionFailed
    | ActionDropped
    | StepRestarted
    | SessionFinished,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Entry(Contract):
    """A committed event. `seq` is the journal id, the SSE id and the resume cursor; it starts at 1 without gaps."""

    seq: int = Field(ge=1)
    at: datetime
    """The journal's clock, never a worker's."""
    event: Event


class Delta(Contract):
    """Text while it is being generated; never durable. Void once a `step.restarted` of a later epoch is committed."""

    action: ActionKind
    step_id: int | None = None
    attempt: int = 1
    epoch: int = 1
    text: str
    restarted: bool = Field(default=False, description="the text shown so far for this action is void")
