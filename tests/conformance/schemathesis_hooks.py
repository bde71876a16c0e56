"""What schemathesis has to be told of this API."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def json_lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """An import's body is text; what is in it is the store's to judge."""
    return str(value).encode("utf-8", "surrogatepass")
