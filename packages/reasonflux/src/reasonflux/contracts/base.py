"""The base of every contract."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Immutable data that crosses a function or process boundary. Unknown fields are refused, so typos surface."""

    model_config = ConfigDict(frozen=True, extra="forbid")
