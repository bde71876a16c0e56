"""Import and export: whole libraries in and out of a running store."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import aclosing
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from reasonflux.contracts import ImportOutcome, ImportReport, TemplateStatus, ThoughtTemplate, TransferFormat
from reasonflux.errors import InvalidRequest
from reasonflux.store_client import TemplateStoreClient
from template_store import library as on_disk
from template_store.cli.asking import (
    MATH,
    ByOption,
    LibraryOption,
    NoteOption,
    ask,
    console,
    faulty,
    plain,
    progress,
    report,
    unwritable,
)
from template_store.exchange import transfer
from template_store.exchange.v1 import read_v1

_FORMATS = {
    ".jsonl": TransferFormat.JSONL,
    ".ndjson": TransferFormat.JSONL,
    ".yaml": TransferFormat.YAML,
    ".yml": TransferFormat.YAML,
}


def import_(
    source: Annotated[
        Path, typer.Argument(help="JSONL, YAML, a folder of YAML files, or the public v1 library's JSON")
    ],
    library: LibraryOption = MATH,
    create: Annotated[bool, typer.Option(help="make the library if it is not there")] = False,
    active: Annotated[bool, typer.Option(help="activate those that pass the checks; default: quarantined")] = False,
    update: Annotated[bool, typer.Option(help="replace templates that are there already")] = False,
    dry_run: Annotated[bool, typer.Option(help="only read and check; needs no service")] = False,
    by: ByOption = "",
    note: NoteOption = "",
) -> None:
    """Bring templates in: each arrives or is refused with a reason, and it is said which of them pass the checks.

    Exit code 1 when not all arrive."""
    templates, refused = _read(source)
    console.print(f"{len(templates) + len(refused)} entries: {len(templates)} can be read, {len(refused)} cannot")
    if refused:
        report(chain.from_iterable(refused), first="entry")
    if templates:
        _checks(templates)
    arrived = True
    if templates and not dry_run:
        arrived = _sent(templates, library, create=create, active=active, update=update, by=by, note=note)
    if refused or not arrived:
        raise typer.Exit(1)


def _sent(
    templates: list[ThoughtTemplate], library: str, *, create: bool, active: bool, update: bool, by: str, note: str
) -> bool:
    """Send them and say what became of them. Returns whether all were taken."""
    status = TemplateStatus.ACTIVE if active else TemplateStatus.QUARANTINED
    content = b"".join(transfer.written(templates, TransferFormat.JSONL))

    async def sent(store: TemplateStoreClient) -> ImportReport:
        if create:
            await store.create_library(library)
        return await store.import_templates(content, library=library, status=status, update=update, by=by, note=note)

    found = ask(sent)
    counts = ", ".join(f"{outcome.value} {count}" for outcome, count in found.counts.items() if count)
    console.print(f"{found.library}: {counts or 'nothing'}")
    refused = [entry for entry in found.entries if entry.outcome is ImportOutcome.REFUSED]
    if refused:
        report(row for entry in refused for row in faulty(entry.template_id or entry.place, entry.faults))
    return not refused


_Row = tuple[str, str, str]


def _read(source: Path) -> tuple[list[ThoughtTemplate], list[list[_Row]]]:
    """The templates, and what is wrong with each of the other entries."""
    if source.is_dir():
        return list(on_disk.read(source)), []
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{source} cannot be read: {error.strerror}", hint="name a file or a folder") from error
    data = _json(content) if source.suffix == ".json" else None
    if isinstance(data, dict) and "id" not in data:
        arrivals = read_v1(data)
        refused = [[(arrival.place, "", arrival.refused)] for arrival in arrivals if arrival.refused]
        return [arrival.template for arrival in arrivals if arrival.template], refused
    received = transfer.read(content, _FORMATS.get(source.suffix, TransferFormat.JSON))
    return (
        [entry.template for entry in received if entry.template],
        [faulty(entry.template_id or entry.place, entry.faults) for entry in received if entry.template is None],
    )


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None  # transfer.read says where it is wrong


def _checks(templates: list[ThoughtTemplate]) -> None:
    """How many pass the machine checks, and why the others do not."""
    from template_store.cli.checking import checked

    faults = asyncio.run(checked(templates))
    passing = sum(not found for found in faults)
    console.print(f"{passing} of {len(templates)} pass the checks of `templates validate`")
    reasons = Counter(f"{fault.field}: {fault.message}" for found in faults for fault in found)
    if reasons:
        table = Table("templates", "reason")
        for reason, count in reasons.most_common(12):
            table.add_row(str(count), plain(reason))
        console.print(table)
        if len(reasons) > 12:
            console.print(f"and {len(reasons) - 12} other reasons")


def export(
    to: Annotated[Path | None, typer.Option(help="a file; default: the terminal")] = None,
    format: Annotated[TransferFormat, typer.Option(help="jsonl or yaml")] = TransferFormat.JSONL,
    field: Annotated[str | None, typer.Option(help="a field path; fields below it count")] = None,
    status: TemplateStatus | None = None,
    library: LibraryOption = MATH,
) -> None:
    """Write a library out, in a form that `import` takes."""

    # Whole before the file is opened: an export that breaks off leaves the last one as it was.
    with tempfile.TemporaryFile() as whole:

        async def written(store: TemplateStoreClient) -> None:
            async with aclosing(store.export(format, library=library, field=field, status=status)) as pieces:
                async for piece in pieces:
                    whole.write(piece)

        ask(written)
        whole.seek(0)
        if to is None:
            shutil.copyfileobj(whole, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        try:
            with to.open("wb") as file:
                shutil.copyfileobj(whole, file)
        except OSError as error:
            raise unwritable(to, error) from error
    progress.print(plain(f"written to {to}"), soft_wrap=True)
