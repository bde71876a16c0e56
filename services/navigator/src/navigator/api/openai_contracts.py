"""What is answered at OpenAI's routes, as contracts: what the OpenAPI document says, and what answers are held against.

`chat_shapes` and `response_shapes` write these shapes; nothing is validated while answering.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from reasonflux.contracts import Contract, Entry, Failure, KnownResult, Outcome


class Extra(Contract):
    """What ReasonFlux tells beyond OpenAI's fields."""

    session_id: str = Field(description="`GET /v1/sessions/{id}` tells all about it")
    outcome: Outcome | None = Field(description="null while it runs")
    rounds: int = Field(ge=0)
    failure: Failure | None = Field(default=None, description="why there is no answer; once it has finished")
    results: tuple[KnownResult, ...] = Field(default=(), description="what was found on the way; once it has finished")
    entry: Entry | None = Field(default=None, description="of a stream: the session's event that this comes with")


class CachedTokens(Contract):
    cached_tokens: int = Field(ge=0)


class ReasoningTokens(Contract):
    reasoning_tokens: int = Field(ge=0)


class ChatUsage(Contract):
    """The sum over all internal calls."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=0)
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class AssistantMessage(Contract):
    role: Literal["assistant"]
    content: str
    refusal: None
    reasoning: str = Field(default="", description="how it went, in words; not of `reasonflux-direct`")
    reasoning_content: str = Field(default="", description="the same, as other clients call it")


class ChatChoice(Contract):
    index: Literal[0]
    message: AssistantMessage
    logprobs: None
    finish_reason: Literal["stop", "length"] = Field(description="length: the budget ran out")


class ChatCompletion(Contract):
    """The answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: tuple[ChatChoice, ...] = Field(min_length=1, max_length=1)
    usage: ChatUsage
    reasonflux: Extra | None = Field(default=None, description="not of `reasonflux-direct`")


class ChatDelta(Contract):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(Contract):
    index: Literal[0]
    delta: ChatDelta
    logprobs: None
    finish_reason: Literal["stop", "length"] | None


class ChatChunk(Contract):
    """One event's data of a chat that streams. The last event's data is `[DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: tuple[ChunkChoice, ...] = Field(max_length=1, description="empty in the chunk that tells the usage")
    usage: ChatUsage | None = None
    reasonflux: Extra | None = None


class ModelExtra(Contract):
    """What OpenAI's fields cannot tell of a model."""

    library: str | None = Field(description="its template library; null: plain engine calls")
    engine: str
    reads_instructions: bool


class ModelCard(Contract):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    reasonflux: ModelExtra | None = None


class ModelList(Contract):
    object: Literal["list"]
    data: tuple[ModelCard, ...]


class SummaryText(Contract):
    type: Literal["summary_text"]
    text: str


class OutputText(Contract):
    type: Literal["output_text"]
    text: str
    annotations: tuple[Any, ...]
    logprobs: tuple[Any, ...]


class ReasoningItem(Contract):
    id: str
    type: Literal["reasoning"]
    summary: tuple[SummaryText, ...]
    status: Literal["in_progress", "completed"]


class MessageItem(Contract):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed"]
    content: tuple[OutputText, ...]


class ResponseUsage(Contract):
    """The sum over all internal calls."""

    class InputDetails(Contract):
        cached_tokens: int
        cache_write_tokens: int

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class ResponseError(Contract):
    code: str
    message: str


class ResponseBody(Contract):
    """A session as a response of OpenAI's Responses API."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    error: ResponseError | None
    incomplete_details: dict[Literal["reason"], Literal["max_output_tokens"]] | None
    background: bool
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: tuple[ReasoningItem | MessageItem, ...] = Field(description="empty until it has finished")
    parallel_tool_calls: Literal[False]
    previous_response_id: str | None
    reasoning: dict[str, str | None]
    store: bool
    temperature: float
    text: dict[str, dict[str, str]]
    tool_choice: Literal["none"]
    tools: tuple[Any, ...]
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    reasonflux: Extra


class ResponseEvent(Contract):
    """One event's data of a response that streams; the fields beside these depend on `type`, as in OpenAI's API."""

    model_config = ConfigDict(extra="allow")

    type: str
    sequence_number: int = Field(ge=0, description="grows, with gaps; `starting_after` takes it")


class DeletedResponse(Contract):
    id: str
    object: Literal["response"]
    deleted: Literal[True]
