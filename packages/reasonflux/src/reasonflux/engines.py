"""Engines that an operator offers by name, beside the deployment's own. Clients choose by name and never name a URL.

REASONFLUX_ENGINES is read by the navigator and the executor alike, each of which takes its own role from it:

    {"large": {"navigator": {"url": "http://big:8000/v1", "model": "big", "key_env": "BIG_KEY"},
               "executor":  {"url": "http://big:8000/v1", "model": "big", "key_env": "BIG_KEY"}}}

A role that a profile leaves out runs on the deployment's own engine of that role.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, Field, model_validator

from reasonflux.contracts import DEFAULT_ENGINE, ENGINE_NAME, Contract
from reasonflux.engine import EngineConfig
from reasonflux.errors import InvalidRequest
from reasonflux.settings import ReasonFluxSettings

Role = Literal["navigator", "executor"]
Prompts = Literal["instruct", "compact"]


class RoleEngine(Contract):
    """Where one role of a profile runs."""

    url: AnyHttpUrl = Field(description="an OpenAI-compatible server, /v1 included")
    model: str = Field(min_length=1)
    key_env: str | None = Field(
        default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the environment variable that holds its API key"
    )
    profile: Prompts = Field(
        default="instruct", description="which prompts: compact only for weights trained by this project"
    )
    timeout: float = Field(default=120.0, gt=0, description="seconds for one call, retries included")

    def config(self) -> EngineConfig:
        """Raises ValueError when the key is nowhere."""
        key = None if self.key_env is None else os.environ.get(self.key_env)
        if self.key_env is not None and not key:
            raise ValueError(f"the environment variable {self.key_env} is named as an engine's key, but it is not set")
        return EngineConfig(url=str(self.url), model=self.model, key=key, timeout=self.timeout)


class EngineProfile(Contract):
    navigator: RoleEngine | None = None
    executor: RoleEngine | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "EngineProfile":
        if self.navigator is None and self.executor is None:
            raise ValueError("an engine profile names the engine of the navigator, of the executor, or of both")
        return self


class EngineSettings(ReasonFluxSettings):
    """The part of their settings that the navigator and the executor share."""

    engines: dict[Annotated[str, Field(pattern=ENGINE_NAME)], EngineProfile] = Field(
        default_factory=dict, description="engine profiles that clients may choose by name (JSON)"
    )

    @model_validator(mode="after")
    def _leaves_the_default_alone(self) -> "EngineSettings":
        if DEFAULT_ENGINE in self.engines:
            raise ValueError(f"{DEFAULT_ENGINE!r} names the engine that …_ENGINE_URL and …_ENGINE_MODEL set already")
        return self

    def engines_of(self, role: Role) -> dict[str, tuple[EngineConfig, Prompts] | None]:
        """By the name that clients choose. None: that profile leaves the role on the deployment's own engine.

        Raises ValueError when an engine's key is nowhere.
        """
        found: dict[str, tuple[EngineConfig, Prompts] | None] = {}
        for name, profile in self.engines.items():
            engine = profile.navigator if role == "navigator" else profile.executor
            found[name] = (engine.config(), engine.profile) if engine else None
        return found


def no_such_engine(name: str, offered: Mapping[str, object]) -> InvalidRequest:
    """The answer to a name that is none."""
    return InvalidRequest(
        f"engine: there is no engine {name[:64]!r}",
        hint=f"there are: {', '.join((DEFAULT_ENGINE, *offered))}",
        param="engine",
    )
