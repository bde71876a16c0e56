"""The executor LLM's side: a request in, the prompt out; a reply in, an ExecutorReply out. Pure rendering and parsing.

Training renders its examples with `render`, so that the weights see the very prompts that the service sends.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from calculator import USAGES
from executor.errors import ReplyUnusable
from reasonflux.contracts import Failure, FailureKind, InstantiateRequest
from reasonflux.engine import Message
from reasonflux.json_reply import parse_reply


class Profile(StrEnum):
    """Which prompts: `instruct` for any capable LLM, `compact` for weights trained by this project."""

    INSTRUCT = "instruct"
    COMPACT = "compact"

    @property
    def max_tokens(self) -> int:
        """The most tokens that one reply may have."""
        return 256 if self is Profile.COMPACT else 1024


class ExecutorReply(BaseModel):
    """What the executor LLM writes, in this order: the judgement first, so that the rest can follow from it."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"additionalProperties": False})

    fits: bool
    reasoning: str
    bindings: dict[str, str] = Field(default_factory=dict)
    expressions: tuple[str, ...] = ()
    result: str | None = None

    @field_validator("bindings", "expressions", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        """Models leave things out with null, and write plain numbers without quotes."""
        if isinstance(value, dict):
            return {name: _as_text(item) for name, item in value.items()}
        if isinstance(value, list):
            return [_as_text(item) for item in value]
        return () if value is None else value

    @field_validator("bindings", mode="before")
    @classmethod
    def _no_bindings(cls, value: object) -> object:
        return {} if value in (None, (), []) else value

    @field_validator("result", mode="before")
    @classmethod
    def _blank_is_none(cls, value: object) -> object:
        text = _as_text(value)
        return None if isinstance(text, str) and not text.strip() else text


REPLY_SCHEMA: dict[str, Any] = ExecutorReply.model_json_schema()
"""The JSON schema that the engine holds replies to."""


def render(request: InstantiateRequest, profile: Profile | str) -> list[Message]:
    """The prompt for a request. It depends on nothing else, and a repair only ever appends to it."""
    known = request.model_dump(include={"goal", "feedback", "instructions"}) | {
        "template": request.template,
        "statements": request.statements,
        "known": request.known,
        "names": {result.symbol: result.name for result in request.known if result.symbol is not None},
    }
    if Profile(profile) is Profile.COMPACT:
        return [Message(role="user", content=_text("compact", **known))]
    return [
        Message(role="system", content=_text("instruct_system", usages=USAGES)),
        Message(role="user", content=_text("instruct", **known)),
    ]


def repair(reply: str, failure: Failure) -> list[Message]:
    """What to append to the conversation after a reply that could not be carried out."""
    name = "feedback_calculation" if failure.kind is FailureKind.CALCULATION_ERROR else "feedback_unparsable"
    return [Message(role="assistant", content=reply), Message(role="user", content=_text(name, failure=failure))]


def read(text: str) -> ExecutorReply:
    """The reply in an LLM's text. Raises ReplyUnparsable or ReplyUnusable with a message that the LLM can act on."""
    data = parse_reply(text)
    try:
        reply = ExecutorReply.model_validate(data)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"]) or "the object"
        raise ReplyUnusable(
            f"{field}: {fault['msg']}", hint="answer with one JSON object that fits the schema"
        ) from error
    if reply.fits and not (reply.bindings or reply.expressions or reply.result):
        raise ReplyUnusable(
            "the reply has neither a calculation nor a result", hint="give bindings, expressions or a result"
        )
    return reply


def write(reply: ExecutorReply) -> str:
    """A reply as our own weights are trained to write it: what is empty is left out."""
    return reply.model_dump_json(exclude_defaults=True)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


def _text(name: str, **values: object) -> str:
    return _environment().get_template(f"{name}.jinja").render(**values).strip()


def with_names(text: str, names: Mapping[str, str]) -> str:
    """A statement with the results' names in the place of what it calls them: "2 more than P" is "2 more than r3".

    To find out which result is called P, and then to copy its name, is two hops: half of a small model's wrong steps
    took one of two known results for the other (ADR 0021).
    """
    if not names:
        return text
    called = "|".join(re.escape(one) for one in names)
    return re.sub(rf"(?<![A-Za-z])(?:{called})(?![A-Za-z])", lambda found: names[found[0]], text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("executor", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["line"] = lambda text: " ".join(text.split())
    environment.filters["with_names"] = with_names
    return environment
