"""What a deployment may set, as environment variables `REASONFLUX_…`."""

from pydantic import Field, model_validator

from executor.prompting import Profile
from reasonflux.engine import EngineConfig
from reasonflux.engines import EngineSettings

TINY = "reasonflux-tiny-executor"
"""The name under which the embedded engine serves the shipped weights."""


class Settings(EngineSettings):
    executor_engine_url: str = Field(
        default="http://127.0.0.1:8011/v1", description="an OpenAI-compatible server, /v1 included"
    )
    executor_engine_model: str = TINY
    executor_engine_key: str | None = Field(default=None, repr=False)
    executor_profile: Profile | None = Field(
        default=None, description="which prompts; unset: compact for the shipped weights, instruct for any other model"
    )
    executor_max_repairs: int | None = Field(
        default=None, ge=0, description="errors of one kind that are told to the LLM; default: 2, and 0 for compact"
    )
    calculator_processes: int = Field(default=2, ge=1, description="calculations that run at once")
    calculator_timeout: float = Field(default=3.0, gt=0, description="seconds for the calculations of one reply")

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig(
            url=self.executor_engine_url, model=self.executor_engine_model, key=self.executor_engine_key
        )

    @property
    def profile(self) -> Profile:
        shipped = self.executor_engine_model == TINY
        return self.executor_profile or (Profile.COMPACT if shipped else Profile.INSTRUCT)

    @property
    def other_engines(self) -> dict[str, tuple[EngineConfig, Profile] | None]:
        """By the name that clients choose. None: the profile leaves this role on the engine above."""
        found = self.engines_of("executor")
        return {name: (each[0], Profile(each[1])) if each else None for name, each in found.items()}

    @model_validator(mode="after")
    def _other_engines_can_be_used(self) -> "Settings":
        assert self.other_engines is not None  # raises ValueError for a key that is nowhere
        return self

    def max_repairs(self, profile: Profile) -> int:
        """A compact model was not trained to mend its replies; the navigator's retry covers it."""
        if self.executor_max_repairs is not None:
            return self.executor_max_repairs
        return 0 if profile is Profile.COMPACT else 2
