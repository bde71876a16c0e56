"""A training run as its config file tells it."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest
from training.corpus import Mixture
from training.scratch import ModelShape, Recipe

Role = Literal["navigator", "executor"]


class TokenizerConfig(Contract):
    size: int = Field(default=2048, ge=512)
    sample: int = Field(default=8000, ge=1, description="conversations of each role that it learns from")


class RoleConfig(Contract):
    shape: ModelShape = ModelShape()
    recipe: Recipe = Recipe()


class RunConfig(Contract):
    seed: int = 1
    tokenizer: TokenizerConfig = TokenizerConfig()
    mixture: Mixture = Mixture()
    roles: dict[Role, RoleConfig]


def load(path: Path) -> RunConfig:
    """The run that a YAML file tells. Raises InvalidRequest naming the field that is wrong."""
    try:
        told: Any = yaml.safe_load(path.read_text())
        return RunConfig.model_validate(told)
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no config {path}", hint="see training/configs") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidRequest(f"{path}: {error}", hint="compare it with training/configs/tiny-cpu.yaml") from error
