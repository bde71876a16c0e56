"""What a deployment may set, as environment variables `REASONFLUX_…`."""

from pathlib import Path

from pydantic import Field

from reasonflux.settings import ReasonFluxSettings

SHIPPED_LIBRARY = Path(__file__).resolve().parents[2] / "library"
"""The library beside the sources. An installed wheel has none there: its deployments set REASONFLUX_LIBRARY_DIR."""


class Settings(ReasonFluxSettings):
    library: str = Field(default="math", description="the name under which requests ask for the library")
    library_dir: Path = Field(default=SHIPPED_LIBRARY, description="folder of YAML templates, foldered by field")
    embedding_model: str = Field(
        default="minilm", description="minilm (packaged weights) or any sentence-transformers model by name or path"
    )
    cache_dir: Path = Field(default=Path(".reasonflux/cache"), description="embeddings are kept here between starts")
    retrieval_threshold: float = Field(default=0.5, ge=0, le=1, description="below this score, no template is chosen")


class CliSettings(ReasonFluxSettings):
    template_store_url: str = "http://127.0.0.1:8002"
