"""What a deployment may set, as environment variables `REASONFLUX_…`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from reasonflux.contracts.template import LIBRARY_NAME
from reasonflux.settings import REDIS_URL, ReasonFluxSettings

SHIPPED_LIBRARY = Path(__file__).resolve().parents[2] / "library"
"""The library beside the sources. An installed wheel has none there: its deployments set REASONFLUX_LIBRARY_DIR."""


class Settings(ReasonFluxSettings):
    redis_url: str = Field(
        default="redis://127.0.0.1:6390/0", validation_alias=REDIS_URL, repr=False, description="may hold a password"
    )
    redis_patience: float = Field(default=30.0, ge=0, description="seconds that a start waits for Redis")
    library: str = Field(
        default="math",
        pattern=LIBRARY_NAME,
        description="the library that library_dir is taken over into at every start",
    )
    library_dir: Path = Field(default=SHIPPED_LIBRARY, description="folder of YAML templates, foldered by field")
    calculator_processes: int = Field(default=1, ge=1, description="templates checked at a time")
    calculator_timeout: float = Field(default=3.0, gt=0, description="seconds for one evaluation")
    embedding_model: str = Field(
        default="minilm", description="minilm (packaged weights) or any sentence-transformers model by name or path"
    )
    embedding_runtime: Literal["int8", "fp32", "torch"] = Field(
        default="int8",
        description="int8 and fp32: ONNX Runtime, for plain BERT encoders such as minilm; torch runs any model",
    )
    cache_dir: Path = Field(
        default=Path(".reasonflux/cache"), description="embeddings and ONNX models are kept here between starts"
    )
    retrieval_threshold: float = Field(
        default=0.3, ge=0, le=1, description="below this probability of being right, no template is chosen"
    )


class CliSettings(ReasonFluxSettings):
    template_store_url: str = "http://127.0.0.1:8002"
    executor_url: str = "http://127.0.0.1:8001"
    navigator_url: str = "http://127.0.0.1:8000"
    teacher_url: str = Field(default="", description="an OpenAI-compatible LLM that drafts templates: http://…/v1")
    teacher_model: str = Field(default="", description="its name there")
    teacher_key: SecretStr | None = None
