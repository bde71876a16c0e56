"""What a deployment may set, as environment variables `REASONFLUX_…`."""

from typing import Literal

from pydantic import Field, field_validator

from navigator.webhooks import origin_of
from reasonflux.engine import EngineConfig
from reasonflux.settings import REDIS_URL, ReasonFluxSettings

TINY = "reasonflux-tiny-navigator"
"""The name under which the embedded engine serves the shipped weights."""


class Settings(ReasonFluxSettings):
    redis_url: str = Field(
        default="redis://127.0.0.1:6390/0", validation_alias=REDIS_URL, repr=False, description="may hold a password"
    )
    executor_url: str = "http://127.0.0.1:8001"
    template_store_url: str = "http://127.0.0.1:8002"

    navigator_engine_url: str = Field(
        default="http://127.0.0.1:8010/v1", description="an OpenAI-compatible server, /v1 included"
    )
    navigator_engine_model: str = TINY
    navigator_engine_key: str | None = Field(default=None, repr=False)
    navigator_engine_timeout: float = Field(default=120.0, gt=0, description="seconds for one call, retries included")
    navigator_profile: Literal["instruct", "compact"] | None = Field(
        default=None, description="which prompts; unset: compact for the shipped weights, instruct for any other model"
    )

    navigator_workers: int = Field(
        default=32, ge=0, description="sessions carried on at a time by this process; 0: it serves the API only"
    )
    navigator_lease_seconds: float = Field(
        default=15.0, gt=0, description="how long a session waits for a worker that fell silent"
    )
    session_retention_seconds: float = Field(
        default=30 * 86_400.0, ge=60, description="how long a session can be read after its end"
    )
    webhook_origins: tuple[str, ...] = Field(
        default=(), description="where webhooks may go, such as https://hooks.example.com (JSON list); empty: nowhere"
    )
    libraries: tuple[str, ...] = Field(
        default=("math",), min_length=1, description="the template libraries on offer, the default first (JSON list)"
    )

    @field_validator("webhook_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(origin_of(origin) for origin in origins)
        for given, origin in zip(origins, found, strict=True):
            if origin is None or given.rstrip("/").lower() not in (origin, f"{origin}:443", f"{origin}:80"):
                raise ValueError(f"{given!r} is no origin: write https://host or https://host:port, without a path")
        return tuple(origin for origin in found if origin is not None)

    @property
    def profile(self) -> Literal["instruct", "compact"]:
        return self.navigator_profile or ("compact" if self.navigator_engine_model == TINY else "instruct")

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig(
            url=self.navigator_engine_url,
            model=self.navigator_engine_model,
            key=self.navigator_engine_key,
            timeout=self.navigator_engine_timeout,
        )
