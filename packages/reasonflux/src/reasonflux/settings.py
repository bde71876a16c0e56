"""The base of every process's settings."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REDIS_URL = AliasChoices("REASONFLUX_REDIS_URL", "REDIS_URL")
"""Where a Redis is named: our own variable goes before the one that hosting platforms set."""


class ReasonFluxSettings(BaseSettings):
    """Read from environment variables `REASONFLUX_<FIELD>`; a value that does not fit is refused at start."""

    model_config = SettingsConfigDict(env_prefix="REASONFLUX_", frozen=True, extra="ignore", populate_by_name=True)

    log_level: str = "INFO"
    drain_seconds: float = Field(
        default=10.0, ge=0, description="told to stop, how long a service finishes what it has begun before it leaves"
    )
