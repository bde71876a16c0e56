"""Errors that carry a `Failure`: what happened, whether another try can help, and what the reader can do.

    ReasonFluxError               internal            (each service grows its own small tree under this one)
    ├── EngineError               engine_unavailable  an LLM server gave no reply
    │   ├── EngineUnavailable     engine_unavailable  not reachable, overloaded or broken, after all retries
    │   ├── EngineRefused         engine_refused      it understood and said no (4xx), or it speaks another protocol
    │   └── EngineTimeout         deadline_exceeded   no complete reply within the call's time
    ├── ServiceUnavailable        service_unavailable one of our own services or stores is not reachable
    ├── InvalidRequest            invalid_request     the caller must change something
    ├── NotFound                  not_found           no such session, template, path …
    ├── Conflict                  conflict            what is there already stands against it
    ├── PreconditionFailed        precondition_failed it was made from an older revision than the current one
    ├── PreconditionRequired      precondition_required  it must say which revision it was made from
    ├── TemplateUnsound           template_unsound    the machine checks found faults in a template
    ├── Unauthorized              unauthorized        no API key, or one that is not good (any more)
    ├── Forbidden                 forbidden           the API key is good, but not for this
    ├── RateLimited               rate_limit_exceeded the caller's own limit is reached; `retry_after` says when to come
    └── Overloaded                overloaded          the deployment has no room for more work now

`reasonflux.service` turns the failure's kind into an HTTP status, once; `reasonflux.client` turns it back.
"""

from collections.abc import Sequence
from typing import ClassVar

from reasonflux.contracts import Failure, FailureKind, Fault, Tokens


class ReasonFluxError(Exception):
    """The base of every expected error.

    `message` is one sentence that says what happened; `hint` says what to do about it. `param` names the field at
    fault, `faults` everything to mend. `kind` and `retryable` are the class's own unless given; `retry_after` says in
    how many seconds another try makes sense. `logged` is what logs say in place of a message that quotes somebody else:
    a server that refuses a prompt may well repeat it.
    """

    kind: ClassVar[FailureKind] = FailureKind.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        kind: FailureKind | None = None,
        retryable: bool | None = None,
        param: str | None = None,
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
        logged: str | None = None,
    ) -> None:
        super().__init__(message)
        self.logged = message if logged is None else logged
        self.retry_after = retry_after
        self.param = param
        self.faults = tuple(faults)
        self.tokens = Tokens()
        """What was spent before it went wrong; whoever spent it says so."""
        self.failure = Failure(
            kind=self.kind if kind is None else kind,
            message=message,
            hint=hint,
            retryable=self.retryable if retryable is None else retryable,
        )

    def __str__(self) -> str:
        return f"{self.failure.message} ({self.failure.hint})" if self.failure.hint else self.failure.message


class EngineError(ReasonFluxError):
    """An LLM server gave no usable reply."""

    kind = FailureKind.ENGINE_UNAVAILABLE


class EngineUnavailable(EngineError):
    """The engine cannot be reached, is overloaded, or broke off, and the retries are used up."""

    retryable = True


class EngineRefused(EngineError):
    """The engine answered that it will not do this; the same request would be refused again."""

    kind = FailureKind.ENGINE_REFUSED


class EngineTimeout(EngineError):
    """No complete reply within the time that the caller gave."""

    kind = FailureKind.DEADLINE_EXCEEDED
    retryable = True


class ServiceUnavailable(ReasonFluxError):
    """One of ReasonFlux's own services, or a store that it stands on, cannot be reached."""

    kind = FailureKind.SERVICE_UNAVAILABLE
    retryable = True


class InvalidRequest(ReasonFluxError):
    """The caller must change the request."""

    kind = FailureKind.INVALID_REQUEST


class NotFound(ReasonFluxError):
    """What was asked for by name does not exist."""

    kind = FailureKind.NOT_FOUND


class Conflict(ReasonFluxError):
    """What is there already stands against the request."""

    kind = FailureKind.CONFLICT


class PreconditionFailed(ReasonFluxError):
    """The request was made from an older revision than the current one, which the message names."""

    kind = FailureKind.PRECONDITION_FAILED


class PreconditionRequired(ReasonFluxError):
    """The request must say which revision it was made from."""

    kind = FailureKind.PRECONDITION_REQUIRED


class TemplateUnsound(ReasonFluxError):
    """The machine checks found something wrong with a template; `faults` says what and where."""

    kind = FailureKind.TEMPLATE_UNSOUND


class Unauthorized(ReasonFluxError):
    """Whoever asks has not shown a good API key."""

    kind = FailureKind.UNAUTHORIZED


class Forbidden(ReasonFluxError):
    """The API key is good, but it may not do this."""

    kind = FailureKind.FORBIDDEN


class RateLimited(ReasonFluxError):
    """The caller's own limit is reached."""

    kind = FailureKind.RATE_LIMITED
    retryable = True


class Overloaded(ReasonFluxError):
    """The deployment has no room for more work now, whoever asks."""

    kind = FailureKind.OVERLOADED
    retryable = True


_BY_KIND: dict[FailureKind, type[ReasonFluxError]] = {
    cls.kind: cls
    for cls in (
        EngineUnavailable,
        EngineRefused,
        ServiceUnavailable,
        InvalidRequest,
        NotFound,
        Conflict,
        PreconditionFailed,
        PreconditionRequired,
        TemplateUnsound,
        Unauthorized,
        Forbidden,
        RateLimited,
        Overloaded,
    )
}


def from_failure(
    failure: Failure,
    *,
    param: str | None = None,
    faults: Sequence[Fault] = (),
    retry_after: float | None = None,
) -> ReasonFluxError:
    """The error that carries this failure: the class of its kind where there is one, else the base.

    The message was told by another service and may quote what it worked on: that service's log has it."""
    cls = _BY_KIND.get(failure.kind, ReasonFluxError)
    return cls(
        failure.message,
        hint=failure.hint,
        kind=failure.kind,
        retryable=failure.retryable,
        param=param,
        faults=faults,
        retry_after=retry_after,
        logged=f"another service told of {failure.kind.value}",
    )
