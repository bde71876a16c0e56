"""What schemathesis has to be told of this API."""

import re
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.media_types import YAML_MEDIA_TYPES
from schemathesis.specs.openapi.checks import AcceptedNegativeData, negative_data_rejection

JUDGED_LINE_BY_LINE = "POST /v1/templates/import"
"""Its body is text, and its answer tells of each line what became of it, the unreadable ones included."""

CUT = "POST /v1/templates/search"
"""A model writes the queries: what is longer than the schema says is cut, as the document tells."""

_WRONG_TYPE = re.compile(r"in body - (?P<path>[^:\n]+): Incorrect type\Z")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def json_lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """An import's body is text; what is in it is the store's to judge."""
    return str(value).encode("utf-8", "surrogatepass")


@schemathesis.deserializer("application/x-ndjson", *YAML_MEDIA_TYPES)
def as_text(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    """An export is many documents, of which schemathesis's own reader takes one."""
    return response.content.decode()


@schemathesis.check
def what_does_not_fit_is_refused(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """schemathesis's own check, but for scalars that are read as another scalar: "7" as 7, 1 as true."""
    if case.operation.label == JUDGED_LINE_BY_LINE:
        return None
    try:
        return negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData as found:
        if _read_as_another(found, case) or (case.operation.label == CUT and "maxLength" in str(found.message)):
            return None
        raise


def _read_as_another(found: Failure, case: schemathesis.Case) -> bool:
    told = _WRONG_TYPE.search(str(found.message).strip())
    if told is None:
        return False
    value: Any = case.body
    for name in told["path"].split(" -> "):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value)))
