"""The base of every contract."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Immutable data that crosses a function or process boundary. Unknown fields are refused, so typos surface."""

    # JSON has no infinity and no NaN: they would go out as null and not come back
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
