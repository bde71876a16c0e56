"""What can go wrong in the executor.

ReasonFluxError
├── CalculatorUnavailable   service_unavailable   no calculator process can be started (package calculator)
├── EngineError             …                     the executor LLM gave no reply (reasonflux.engine)
├── ReplyUnparsable         unparsable_reply      the LLM's reply is not JSON (reasonflux.json_reply)
└── ReplyUnusable           unparsable_reply      it is JSON, but says nothing that can be carried out
"""

from reasonflux.contracts import FailureKind
from reasonflux.errors import ReasonFluxError


class ReplyUnusable(ReasonFluxError):
    """The reply does not fit the schema, or has neither a calculation nor a result."""

    kind = FailureKind.UNPARSABLE_REPLY
