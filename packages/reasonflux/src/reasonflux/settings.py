"""The base of every process's settings."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class ReasonFluxSettings(BaseSettings):
    """Read from environment variables `REASONFLUX_<FIELD>`; a value that does not fit is refused at start."""

    model_config = SettingsConfigDict(env_prefix="REASONFLUX_", frozen=True, extra="ignore")

    log_level: str = "INFO"
