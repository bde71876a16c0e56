"""What all commands share: one conversation with the store, and how things are printed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from reasonflux.contracts import Fault, TemplateStatus, ThoughtTemplate
from reasonflux.errors import InvalidRequest, ReasonFluxError
from reasonflux.http import http_client
from reasonflux.store_client import DEFAULT_LIBRARY, TemplateStoreClient
from template_store.settings import CliSettings

console = Console(highlight=False)
progress = Console(stderr=True, highlight=False)
"""For what is said while work goes on, so that a command's output can be piped."""
Answer = TypeVar("Answer")

LibraryOption = Annotated[str, typer.Option("--library", help="the library to look into")]
ByOption = Annotated[str, typer.Option("--by", envvar="USER", help="who makes the change; kept in the history")]
NoteOption = Annotated[str, typer.Option("--note", help="why; kept in the history")]
MATH = DEFAULT_LIBRARY


def ask(question: Callable[[TemplateStoreClient], Awaitable[Answer]]) -> Answer:
    """One conversation with the store at REASONFLUX_TEMPLATE_STORE_URL.

    Everything that is wrong with what was sent is printed: the error's sentence names the first fault only."""

    async def asked() -> Answer:
        async with http_client() as http:
            return await question(TemplateStoreClient(http, CliSettings().template_store_url))

    try:
        return asyncio.run(asked())
    except ReasonFluxError as error:
        if len(error.faults) > 1:
            report((("", fault.field, fault.message) for fault in error.faults), first="")
        raise


async def every(
    store: TemplateStoreClient, library: str, *, status: TemplateStatus | None = None, **filters: str | None
) -> list[ThoughtTemplate]:
    """All pages of a listing."""
    found: list[ThoughtTemplate] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await store.list(library=library, status=status, cursor=cursor, limit=200, **filters)  # type: ignore[arg-type]
        found += page.templates
        cursor = page.next_cursor
    return found


def unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be written: {error.strerror}", hint="name a file in a folder that is there")


def plain(text: str, style: str = "") -> Text:
    """Text as it is: brackets are no markup, and control characters, which a terminal would obey, are gone."""
    return Text("".join(c for c in text if c == "\n" or c.isprintable()), style=style)


def said(template: ThoughtTemplate) -> None:
    """One line about a template after a change."""
    console.print(plain(f"{template.id}: {template.status.value}, revision {template.revision}"))


def report(rows: Iterable[tuple[str, str, str]], *, first: str = "template") -> None:
    """What is wrong, a line each."""
    table = Table(Column(first, overflow="fold"), Column("where", overflow="fold"), "what is wrong")
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the last number is the count
        table.add_row(*map(plain, row))
    console.print(table)
    console.print(f"{count} finding(s)")


def faulty(name: str, faults: Iterable[Fault]) -> list[tuple[str, str, str]]:
    return [(name, fault.field, fault.message) for fault in faults]
