"""What may be set for the embedded stack, as environment variables `REASONFLUX_…`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from reasonflux.settings import REDIS_URL, ReasonFluxSettings

Role = Literal["navigator", "executor"]
Profile = Literal["instruct", "compact"]
ROLES: tuple[Role, ...] = ("navigator", "executor")

_CHECKOUT = Path(__file__).resolve().parents[5]
"""The repository's root, when the package is installed from its sources."""


class LocalSettings(ReasonFluxSettings):
    """Ports, folders, and what is served from elsewhere. Everything binds to `host`, loopback by default."""

    home: Path = Field(default=Path(".reasonflux"), description="logs, pid file and data")
    host: str = "127.0.0.1"
    navigator_port: int = 8000
    executor_port: int = 8001
    template_store_port: int = 8002
    navigator_engine_port: int = 8010
    executor_engine_port: int = 8011
    redis_port: int = 6390

    redis_url: str | None = Field(
        default=None, validation_alias=REDIS_URL, repr=False, description="a Redis to use instead of an embedded one"
    )
    navigator_engine_url: str | None = Field(default=None, description="an OpenAI-compatible server, /v1 included")
    navigator_engine_model: str | None = None
    navigator_engine_key: str | None = Field(default=None, repr=False)
    navigator_profile: Profile | None = None
    executor_engine_url: str | None = None
    executor_engine_model: str | None = None
    executor_engine_key: str | None = Field(default=None, repr=False)
    executor_profile: Profile | None = None

    models_dir: Path | None = Field(default=None, description="folder with the weights: navigator/ and executor/")
    traces_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="a collector of traces (OTLP over HTTP); the engines are told of it too",
    )
    engine_compiled: bool = Field(
        default=False, description="compile the model: faster tokens, a slower start, and a C++ compiler is needed"
    )

    @property
    def run_dir(self) -> Path:
        """Logs and the pid file."""
        return self.home.absolute() / "run"

    def weights(self, role: Role) -> Path:
        """Where the role's weights are, or should be."""
        here = Path("models/reasonflux-tiny")
        folder = self.models_dir or (here if here.is_dir() else _CHECKOUT / here)
        return folder.absolute() / role

    def engine_url(self, role: Role) -> str | None:
        """The URL of the server that the user brings for this role; None: the embedded one serves it."""
        return self.navigator_engine_url if role == "navigator" else self.executor_engine_url

    def named_model(self, role: Role) -> str | None:
        """The model that was named for this role."""
        return self.navigator_engine_model if role == "navigator" else self.executor_engine_model

    def engine_model(self, role: Role) -> str:
        """The model to ask for; an embedded engine serves it under this name."""
        return self.named_model(role) or f"reasonflux-tiny-{role}"

    def engine_key(self, role: Role) -> str | None:
        return self.navigator_engine_key if role == "navigator" else self.executor_engine_key

    def profile(self, role: Role) -> Profile:
        """The shipped weights read compact prompts; a server that the user brings is taken to follow instructions."""
        chosen = self.navigator_profile if role == "navigator" else self.executor_profile
        return chosen or ("instruct" if self.engine_url(role) else "compact")

    @property
    def embedded_roles(self) -> tuple[Role, ...]:
        """The roles whose engine is started here."""
        return tuple(role for role in ROLES if self.engine_url(role) is None)
