"""Exceptions as logs tell them: where it happened and what it was, without the values that were worked on."""

import traceback
from collections.abc import Iterator

from pydantic import ValidationError

from reasonflux.errors import ReasonFluxError


def told(error: BaseException) -> str:
    """The chain of causes, the first one first. No local variables, and no input of a model that did not fit: prompts
    and keys would be among them."""
    return "\n".join(reversed([_one(each) for each in _chain(error)]))


def _one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    inside = [told(each) for each in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    return "\n".join((f"{frames}{type(error).__name__}: {_words(error)}", *inside))


def _words(error: BaseException) -> str:
    if isinstance(error, ReasonFluxError):
        return error.logged
    if isinstance(error, ValidationError):
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors(include_input=False))
        return f"{error.error_count()} faults in {error.title}: {', '.join(faults)}"
    return str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
