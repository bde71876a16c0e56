"""OpenAI's chat completions as data: the request that we read, and what we send back. Pure."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from reasonflux.contracts import Budget, CreateSession, Effort, Failure, FailureKind, Outcome, Session
from reasonflux.contracts.problem import MAX_PROBLEM_CHARS
from reasonflux.service import STATUS

MODEL = "reasonflux"

_EFFORTS = {
    "none": Effort.LOW,
    "minimal": Effort.LOW,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.HIGH,
}


class _Lenient(BaseModel):
    """Parameters that we do not know are ignored: clients send many, and null for those they leave open."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Part(_Lenient):
    type: str
    text: str | None = None


class ChatMessage(_Lenient):
    role: str
    content: str | tuple[Part, ...] | None = None

    @property
    def text(self) -> str:
        """The content's text. Raises ValueError for anything that is not text."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content or ()
        for part in parts:
            if part.type != "text" or part.text is None:
                raise ValueError(f"only text can be read, and a part is of type {part.type!r}")
        return "\n".join(part.text or "" for part in parts)


class StreamOptions(_Lenient):
    include_usage: bool | None = None


class ChatRequest(_Lenient):
    """The body of `POST /v1/chat/completions`."""

    model: str = Field(description="`reasonflux`, or `reasonflux/<library>`")
    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="of all internal calls together")
    metadata: dict[str, str] | None = Field(
        default=None, description='`{"durable": "true"}`: the session goes on when the client leaves'
    )

    @field_validator("n")
    @classmethod
    def _one_answer(cls, n: int | None) -> int | None:
        if n not in (None, 1):
            raise ValueError("one answer is given to a request: leave n out or send 1")
        return n

    @field_validator("messages")
    @classmethod
    def _ask_something(cls, messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
        problem = _last_user_message(messages).text
        if not problem.strip():
            raise ValueError("the last user message is empty: send the problem's text")
        if len(problem) > MAX_PROBLEM_CHARS:
            raise ValueError(f"the last user message is longer than {MAX_PROBLEM_CHARS} characters")
        return messages

    @model_validator(mode="after")
    def _usage_belongs_to_streams(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def problem(self) -> str:
        return _last_user_message(self.messages).text

    @property
    def durable(self) -> bool:
        return (self.metadata or {}).get("durable", "").lower() == "true"

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def session(self, library: str) -> CreateSession:
        """The session that answers this request."""
        effort = _EFFORTS[self.reasoning_effort or "medium"]
        cap = self.max_completion_tokens or self.max_tokens
        budget = effort.budget
        if cap is not None:
            budget = Budget(**{**budget.model_dump(), "tokens": min(budget.tokens, cap)})
        return CreateSession(
            problem=self.problem, effort=effort, budget=budget, library=library, metadata=self.metadata or {}
        )


def _last_user_message(messages: Sequence[ChatMessage]) -> ChatMessage:
    for message in reversed(messages):
        if message.role == "user":
            return message
    raise ValueError("there is no user message: the problem is the last one")


def library_of(model: str, libraries: Sequence[str]) -> str | None:
    """The template library that a model's name stands for; None for a name that is not on offer."""
    return dict(zip(model_names(libraries), (libraries[0], *libraries), strict=True)).get(model)


def model_names(libraries: Sequence[str]) -> tuple[str, ...]:
    """`reasonflux` with the first library, then `reasonflux/<library>` for each."""
    return (MODEL, *(f"{MODEL}/{library}" for library in libraries))


def model_card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": MODEL}


def failure_of(session: Session) -> tuple[Failure, int] | None:
    """Why a finished session has nothing to say, and the HTTP status of that; None when it has an answer to give."""
    if session.outcome is Outcome.CANCELLED:
        return Failure(kind=FailureKind.CONFLICT, message="The session was cancelled before it had an answer."), 409
    if session.outcome is not Outcome.FAILED:
        return None
    failure = session.last_failure or Failure(kind=FailureKind.INTERNAL, message=session.explanation)
    status = STATUS[failure.kind]
    return failure, status if status >= 500 else 502


def content_of(session: Session) -> str:
    """The answer as a sentence that ends in a box, or an honest refusal."""
    if session.outcome is Outcome.SOLVED:
        return f"The answer is \\boxed{{{session.answer}}}"
    return f"I could not solve this problem: {session.explanation}"


def finish_reason(session: Session) -> str:
    """`length` when the budget ran out, in tokens, rounds or time."""
    if session.outcome is not Outcome.UNSOLVED:
        return "stop"
    failure = session.last_failure
    ran_out = failure is not None and failure.kind in (FailureKind.BUDGET_EXHAUSTED, FailureKind.DEADLINE_EXCEEDED)
    # A reply that the last tokens cut short cannot be read: then that is the failure, and the budget its cause.
    cut_short = session.usage.all.total >= session.options.budget.tokens
    return "length" if ran_out or cut_short else "stop"


def usage_of(session: Session) -> dict[str, Any]:
    """The sum over all internal calls. Our engines write nothing but reasoning: the answer's sentence is composed from
    a step's result without them, so all completion tokens are reasoning tokens."""
    spent = session.usage.all
    return {
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "total_tokens": spent.total,
        "prompt_tokens_details": {"cached_tokens": spent.cached},
        "completion_tokens_details": {"reasoning_tokens": spent.completion},
    }


def extra_of(session: Session) -> dict[str, Any]:
    """What ReasonFlux tells beyond OpenAI's fields."""
    return {"session_id": session.id, "outcome": session.outcome, "rounds": session.rounds}


def completion(session: Session, model: str, reasoning: str) -> dict[str, Any]:
    """The body of a plain answer."""
    message = {
        "role": "assistant",
        "content": content_of(session),
        "refusal": None,
        "reasoning": reasoning,
        "reasoning_content": reasoning,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(session)}
    return {
        **_frame(session, model, "chat.completion"),
        "choices": [choice],
        "usage": usage_of(session),
        "reasonflux": extra_of(session),
    }


def chunk(
    session: Session, model: str, delta: dict[str, Any], *, finish_reason: str | None = None, **extra: Any
) -> dict[str, Any]:
    """One chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**_frame(session, model, "chat.completion.chunk"), "choices": [choice], **extra}


def usage_chunk(session: Session, model: str) -> dict[str, Any]:
    """The last chunk of a stream that was asked to include the usage."""
    return {**_frame(session, model, "chat.completion.chunk"), "choices": [], "usage": usage_of(session)}


def _frame(session: Session, model: str, kind: str) -> dict[str, Any]:
    created = int(session.started_at.timestamp())
    return {"id": f"chatcmpl-{session.id}", "object": kind, "created": created, "model": model}
