"""How failures look to whoever reads our OpenAPI documents: when each kind happens, and an example of it."""

from collections.abc import Mapping

from reasonflux.contracts import FailureKind

# When it happens; an example's message; what the reader can do.
KINDS: Mapping[FailureKind, tuple[str, str, str | None]] = {
    FailureKind.INVALID_REQUEST: (
        "the request does not fit: `param` names the field at fault, `faults` everything to mend",
        "limit: Input should be less than or equal to 100",
        "correct 'limit' and send the request again; /docs lists the fields",
    ),
    FailureKind.UNAUTHORIZED: (
        "no API key, one that is wrong, or one that has expired or was revoked",
        "an API key is needed",
        "send it as 'Authorization: Bearer <key>' (OpenAI's clients: api_key, ours: REASONFLUX_API_KEY); "
        "an operator makes one with `reasonflux keys create`",
    ),
    FailureKind.FORBIDDEN: (
        "the API key is good, but its scopes do not reach so far",
        "this API key may not solve",
        "use a key with the scope 'solve'",
    ),
    FailureKind.NOT_FOUND: (
        "there is nothing of this name, or it belongs to another tenant",
        "There is no session 4f1c2b0a9d8e4c7fb1a2c3d4e5f60718.",
        None,
    ),
    FailureKind.CONFLICT: (
        "what is there already stands against it",
        "parent: session 4f1c2b0a9d8e4c7fb1a2c3d4e5f60718 has not finished yet",
        "wait for its end, or cancel it",
    ),
    FailureKind.EXPIRED: (
        "the cursor points at nothing that is kept (any more)",
        "The cursor 12 lies beyond the session's last event.",
        "Read the session from the start.",
    ),
    FailureKind.PRECONDITION_FAILED: (
        "it was made from an older revision than the current one",
        "the template 'sum-of-roots' is at revision 4, not 3",
        'read it again, make your change to that, and send it with If-Match: "4"',
    ),
    FailureKind.PRECONDITION_REQUIRED: (
        "it must say which revision it was made from",
        "If-Match: it must be said which revision the change is made from",
        "GET /v1/templates/sum-of-roots and send its ETag as If-Match",
    ),
    FailureKind.TEMPLATE_UNSOUND: (
        "the machine checks found something wrong with the template; `faults` says what and where",
        "example.answer: is 8, but the formulas give 7",
        "mend what is named, or send it as quarantined",
    ),
    FailureKind.RATE_LIMITED: (
        "the tenant's own limit is reached: requests or tokens a minute, or sessions at a time",
        "the limit of requests a minute is reached",
        "come back after Retry-After",
    ),
    FailureKind.OVERLOADED: (
        "the deployment has no room for more work now, whoever asks",
        "there is no room for more work now",
        "come back after Retry-After",
    ),
    FailureKind.INTERNAL: (
        "a bug; the service's log tells more under the answer's request id",
        "something went wrong inside the service",
        "the service's log tells more under request id 0f8fad5bd9cb469fa16570867728950e",
    ),
    FailureKind.ENGINE_REFUSED: (
        "the LLM engine understood and said no",
        "the engine refused: the prompt is longer than its context",
        "ask for less, or use an engine with a longer context",
    ),
    FailureKind.UNPARSABLE_REPLY: (
        "the LLM's replies could not be read, repairs included",
        "the reply is no plan: steps: Field required",
        "a larger model, or one that keeps to JSON schemas, may do better",
    ),
    FailureKind.ENGINE_UNAVAILABLE: (
        "the LLM engine cannot be reached or is overloaded",
        "the engine at http://engine:8010/v1 does not answer",
        "check that it runs",
    ),
    FailureKind.SERVICE_UNAVAILABLE: (
        "the service is starting or stopping, or something that it stands on does not answer",
        "Redis does not answer",
        "check that it runs and try again",
    ),
    FailureKind.DEADLINE_EXCEEDED: (
        "no complete reply within the time that the budget gave",
        "the engine gave no complete reply within 120 s",
        "give it more time, or ask for less",
    ),
}

RETRYABLE = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.ENGINE_UNAVAILABLE,
        FailureKind.SERVICE_UNAVAILABLE,
        FailureKind.DEADLINE_EXCEEDED,
    }
)
"""What another try may mend, so that the answer has Retry-After."""

RETRYABLE = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.ENGINE_UNAVAILABLE,
        FailureKind.SERVICE_UNAVAILABLE,
        FailureKind.DEADLINE_EXCEEDED,
    }
)
"""What another try may mend, so that the answer has Retry-After."""
