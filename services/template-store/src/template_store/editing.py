"""What people do to templates: create, update, activate, quarantine, retire, roll back.

Each reads the record itself, not this process's copy, and writes from the revision that it read.
"""

from collections.abc import Callable
from dataclasses import dataclass

from reasonflux.contracts import ChangeKind, TemplateChange, TemplateStatus, ThoughtTemplate
from reasonflux.errors import InvalidRequest, ReasonFluxError
from template_store.errors import RevisionConflict
from template_store.ports import Draft, Records
from template_store.quality.checks import Checks
from template_store.replica import Replica

RESERVED_IDS = frozenset({"search", "import", "export"})
"""Words that stand where an id stands in a path."""
_TRIES = 8

_KIND_OF = {
    TemplateStatus.ACTIVE: ChangeKind.ACTIVATED,
    TemplateStatus.QUARANTINED: ChangeKind.QUARANTINED,
    TemplateStatus.RETIRED: ChangeKind.RETIRED,
}


@dataclass(frozen=True)
class Author:
    """Who makes a change and why, as they say."""

    by: str = ""
    note: str = ""


class Editor:
    """Every method returns the template as it is afterwards; what changes nothing makes no revision.

    `expected`: the revision that the change is made from; None: whatever it is now. Raises RevisionConflict,
    TemplateNotFound, NameTaken, and TemplateUnsound for a template that would be active and fails its checks.
    """

    def __init__(self, records: Records, checks: Checks) -> None:
        self._records = records
        self._checks = checks

    async def create(self, library: Replica, template: ThoughtTemplate, author: Author) -> ThoughtTemplate:
        """Raises TemplateExists too."""
        refuse_reserved(template.id)
        if template.status is TemplateStatus.RETIRED:
            raise InvalidRequest("status: a new template is active or quarantined", param="status")
        return await self._write(library, template, ChangeKind.CREATED, 0, author)

    async def update(
        self, library: Replica, template: ThoughtTemplate, expected: int | None, author: Author
    ) -> ThoughtTemplate:
        """The template becomes what is given, its status included."""
        return await self._change(library, template.id, expected, lambda _: template, ChangeKind.UPDATED, author)

    async def move(
        self, library: Replica, template_id: str, status: TemplateStatus, expected: int | None, author: Author
    ) -> ThoughtTemplate:
        """Give it another status."""

        def moved(current: ThoughtTemplate) -> ThoughtTemplate:
            return current.model_copy(update={"status": status})

        return await self._change(library, template_id, expected, moved, _KIND_OF[status], author)

    async def roll_back(
        self, library: Replica, template_id: str, revision: int, expected: int | None, author: Author
    ) -> ThoughtTemplate:
        """Make it again what it was at `revision`, its status included. Raises RevisionNotFound too."""
        await self._records.get(library.name, template_id)
        earlier = (await self._records.at(library.name, template_id, revision)).template
        said = Author(author.by, author.note or f"back to revision {revision}")
        return await self._change(library, template_id, expected, lambda _: earlier, ChangeKind.ROLLED_BACK, said)

    async def _change(
        self,
        library: Replica,
        template_id: str,
        expected: int | None,
        wanted: Callable[[ThoughtTemplate], ThoughtTemplate],
        kind: ChangeKind,
        author: Author,
    ) -> ThoughtTemplate:
        for _ in range(_TRIES):
            current = await self._records.get(library.name, template_id)
            if expected is not None and current.revision != expected:
                raise RevisionConflict(template_id, expected, current.revision)
            template = wanted(current)
            if same(template, current):
                return current
            try:
                return await self._write(library, template, kind, current.revision, author)
            except RevisionConflict as error:  # somebody was faster; it matters only to who named a revision
                if expected is not None:
                    raise
                lost = error
        raise lost

    async def _write(
        self, library: Replica, template: ThoughtTemplate, kind: ChangeKind, expected: int, author: Author
    ) -> ThoughtTemplate:
        if template.status is TemplateStatus.ACTIVE:
            await self._checks.require(template)
        draft = Draft(template, kind, expected, author.by, author.note)
        [outcome] = await self._records.write(library.name, [draft])
        if isinstance(outcome, ReasonFluxError):
            raise outcome
        assert isinstance(outcome, TemplateChange)
        await library.apply([outcome])
        return outcome.template


def same(one: ThoughtTemplate, other: ThoughtTemplate) -> bool:
    """Whether two templates say the same, whatever their revisions."""
    return one.model_copy(update={"revision": other.revision}) == other


def refuse_reserved(template_id: str) -> None:
    if template_id in RESERVED_IDS:
        raise InvalidRequest(f"id: {template_id!r} is a word of the API", hint="choose another id", param="id")
