"""What a deployment may set, as environment variables `REASONFLUX_…`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from navigator.access.limits import Limits, Room
from navigator.runner import LONGEST_BACK_OFF_SECONDS
from navigator.webhooks import origin_of, signing_key
from reasonflux.contracts.usage import MOST_TOKENS
from reasonflux.engine import EngineConfig
from reasonflux.engines import EngineSettings, Prompts
from reasonflux.settings import REDIS_URL

TINY = "reasonflux-tiny-navigator"
"""The name under which the embedded engine serves the shipped weights."""


class Settings(EngineSettings):
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
    navigator_longest_back_off: float = Field(
        default=LONGEST_BACK_OFF_SECONDS,
        ge=0,
        description="the longest wait, in seconds, before another try of an engine or a service that is away",
    )
    session_retention_seconds: float = Field(
        default=30 * 86_400.0, ge=60, description="how long a session can be read after its end"
    )
    webhook_origins: tuple[str, ...] = Field(
        default=(), description="where webhooks may go, such as https://hooks.example.com (JSON list); empty: nowhere"
    )
    webhook_secrets: tuple[str, ...] = Field(
        default=(), repr=False, description="webhooks are signed with each of them: whsec_<base64> (JSON list)"
    )
    speculation: int = Field(
        default=0,
        ge=0,
        le=MOST_TOKENS,
        description="tokens that a session may lose to work begun ahead of a review, where its request does not say; "
        "0: every step waits for the review before it",
    )
    access: Literal["open", "keys"] = Field(
        default="open", description="keys: every request under /v1 needs an API key (`reasonflux keys create`)"
    )
    tenant_requests: int | None = Field(
        default=None, ge=1, description="requests a minute that start work, of a tenant without limits of its own"
    )
    tenant_tokens: int | None = Field(default=None, ge=1, description="tokens a minute of such a tenant")
    tenant_sessions: int | None = Field(default=None, ge=1, description="sessions at a time of such a tenant")
    tenant_open_requests: int | None = Field(
        default=None, ge=1, description="requests of a tenant under way at a time in each process, streams included"
    )
    room_sessions: int | None = Field(
        default=None, ge=1, description="sessions under way or waiting in the whole deployment; more are refused (429)"
    )
    room_tokens: int | None = Field(default=None, ge=1, description="what they are estimated to cost together")
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="web pages that may call, such as https://app.example.com, or * (JSON list); empty: none",
    )
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="of a request")
    libraries: tuple[str, ...] = Field(
        default=("math",), min_length=1, description="the template libraries on offer, the default first (JSON list)"
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins_or_all(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return origins if origins == ("*",) else cls._are_origins(origins)

    @field_validator("webhook_secrets")
    @classmethod
    def _are_secrets(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            signing_key(secret)
        return secrets

    @field_validator("webhook_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(origin_of(origin) for origin in origins)
        for given, origin in zip(origins, found, strict=True):
            if origin is None or given.rstrip("/").lower() not in (origin, f"{origin}:443", f"{origin}:80"):
                raise ValueError(f"{given!r} is no origin: write https://host or https://host:port, without a path")
        return tuple(origin for origin in found if origin is not None)

    @model_validator(mode="after")
    def _other_engines_can_be_used(self) -> "Settings":
        assert self.other_engines is not None  # raises ValueError for a key that is nowhere
        return self

    @property
    def other_engines(self) -> dict[str, tuple[EngineConfig, Prompts] | None]:
        """By the name that clients choose. None: the profile leaves this role on the engine above."""
        return self.engines_of("navigator")

    @property
    def profile(self) -> Literal["instruct", "compact"]:
        return self.navigator_profile or ("compact" if self.navigator_engine_model == TINY else "instruct")

    @property
    def limits(self) -> Limits:
        return Limits(requests=self.tenant_requests, tokens=self.tenant_tokens, sessions=self.tenant_sessions)

    @property
    def room(self) -> Room:
        return Room(sessions=self.room_sessions, tokens=self.room_tokens)

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig(
            url=self.navigator_engine_url,
            model=self.navigator_engine_model,
            key=self.navigator_engine_key,
            timeout=self.navigator_engine_timeout,
        )
