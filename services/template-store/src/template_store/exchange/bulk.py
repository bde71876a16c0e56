"""An import: what was received is checked, written in few journeys to Redis, and reported entry by entry."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from reasonflux.contracts import (
    ChangeKind,
    Fault,
    ImportedEntry,
    ImportOutcome,
    ImportReport,
    TemplateChange,
    TemplateStatus,
)
from reasonflux.errors import InvalidRequest, ReasonFluxError
from template_store.editing import Author, refuse_reserved, same
from template_store.errors import TemplateExists
from template_store.exchange.transfer import Received
from template_store.ports import Draft, Records
from template_store.quality.checks import Checks
from template_store.replica import Replica

AT_ONCE = 16
"""Templates of one import that stand in the line of the checks: a large import waits for its own, and leaves room."""
_UNSOUND_HINT = "mend it, or import it with status=quarantined"
_UNREADABLE_HINT = "correct these fields; /docs lists them"


class Importer:
    """Brings templates into a library. Each stands or falls alone: a refused one does not hold up the others."""

    def __init__(self, records: Records, checks: Checks) -> None:
        self._records = records
        self._checks = checks

    async def bring(
        self, library: Replica, received: Sequence[Received], status: TemplateStatus, author: Author, *, update: bool
    ) -> ImportReport:
        """All of them get `status`; active ones must pass their checks. A template that is there already, says
        the same and has that status is left as it is; with `update`, any other is replaced, otherwise refused."""
        room = asyncio.Semaphore(AT_ONCE)

        async def judge(each: Received) -> Draft | ImportedEntry:
            async with room:
                return await self._judge(library, each, status, author, update)

        judged = await asyncio.gather(*map(judge, received))
        drafts = [draft for draft in judged if isinstance(draft, Draft)]
        outcomes = iter(await self._records.write(library.name, drafts))
        entries: list[ImportedEntry] = []
        changes: list[TemplateChange] = []
        for each, draft in zip(received, judged, strict=True):
            if isinstance(draft, ImportedEntry):
                entries.append(draft)
                continue
            outcome = next(outcomes)
            if isinstance(outcome, TemplateChange):
                changes.append(outcome)
                entries.append(_entry(each, ImportOutcome.UPDATED if draft.expected else ImportOutcome.CREATED))
            else:
                entries.append(_refused(each, outcome))
        await library.apply(changes)
        counts = Counter(entry.outcome for entry in entries)
        return ImportReport(
            library=library.name, counts={outcome: counts[outcome] for outcome in ImportOutcome}, entries=tuple(entries)
        )

    async def _judge(
        self, library: Replica, each: Received, status: TemplateStatus, author: Author, update: bool
    ) -> Draft | ImportedEntry:
        """What to write for one, or what to report without writing."""
        if each.template is None:
            return _entry(each, ImportOutcome.REFUSED, faults=each.faults, hint=_UNREADABLE_HINT)
        template = each.template.model_copy(update={"status": status})
        current = library.held(template.id)
        if current is not None and same(template, current):
            return _entry(each, ImportOutcome.UNCHANGED)
        try:
            refuse_reserved(template.id)
        except InvalidRequest as error:
            return _refused(each, error)
        if current is not None and not update:
            return _refused(each, TemplateExists(template.id, current.revision), "or import with existing=update")
        if status is TemplateStatus.ACTIVE and (faults := await self._checks.faults(template)):
            return _entry(each, ImportOutcome.REFUSED, faults=faults, hint=_UNSOUND_HINT)
        kind = ChangeKind.IMPORTED
        return Draft(template, kind, current.revision if current else 0, author.by, author.note)


def _entry(
    each: Received, outcome: ImportOutcome, *, faults: tuple[Fault, ...] = (), hint: str | None = None
) -> ImportedEntry:
    return ImportedEntry(place=each.place, template_id=each.template_id, outcome=outcome, faults=faults, hint=hint)


def _refused(each: Received, error: ReasonFluxError, also: str = "") -> ImportedEntry:
    hint = "; ".join(part for part in (error.failure.hint, also) if part)
    fault = Fault(field=error.param or "", message=error.failure.message)
    return _entry(each, ImportOutcome.REFUSED, faults=(fault,), hint=hint or None)
