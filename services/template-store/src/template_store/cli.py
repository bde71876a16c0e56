"""`reasonflux templates …`: look into a running store, or check a library folder without any service.

Errors are left to the command line that this is a part of, which turns them into sentences and exit codes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from reasonflux.client import TemplateStoreClient
from reasonflux.contracts import Query, SearchRequest, TemplateStatus, TemplateType, ThoughtTemplate
from reasonflux.http import http_client
from template_store.errors import LibraryInvalid
from template_store.ports import Vectors
from template_store.settings import CliSettings, Settings

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Search, read and check thought templates."
)
console = Console(highlight=False)
Answer = TypeVar("Answer")


def _ask(question: Callable[[TemplateStoreClient], Awaitable[Answer]]) -> Answer:
    """One conversation with the store at REASONFLUX_TEMPLATE_STORE_URL."""

    async def asked() -> Answer:
        async with http_client() as http:
            return await question(TemplateStoreClient(http, CliSettings().template_store_url))

    return asyncio.run(asked())


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="what the step is about")],
    name: Annotated[str, typer.Option(help="a template's name, or a guess at it")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    field: Annotated[str | None, typer.Option(help="a soft wish, such as algebra/sequences")] = None,
    top: Annotated[int, typer.Option(min=1, max=100)] = 5,
) -> None:
    """Find the templates that fit best."""
    query = Query(name=name, tags=tuple(tag or ()), text=text, field=field)
    [retrieval] = _ask(lambda store: store.search(SearchRequest(queries=(query,), top_k=top))).retrievals
    table = Table("score", "id", "name", "parts")
    for found in retrieval.candidates:
        parts = "  ".join(f"{part} {value:.2f}" for part, value in found.parts.items())
        table.add_row(f"{found.score:.3f}", found.template_id, found.name, parts)
    console.print(table)
    console.print(f"chosen: {retrieval.template.id if retrieval.template else 'none, nothing fits well enough'}")


@app.command()
def show(template_id: str) -> None:
    """Print one template."""
    template = _ask(lambda store: store.get(template_id))
    console.rule(Text(template.name))
    console.print(Text(f"{template.type.value} in {template.field}; tags: {', '.join(template.tags)}"))
    console.print(Text(template.description))
    for title, lines in (("when", template.scope), ("not when", template.pitfalls)):
        for line in lines:
            console.print(Text(f"  {title}: {line}"))
    for number, step in enumerate(template.steps, 1):
        console.print(Text.assemble(f"{number}. {step.instruction}", (f"   {step.formula or ''}", "cyan")))
    console.print(Text(f"example: {template.example.problem}\nanswer: {template.example.answer}"))


@app.command("list")
def list_(
    field: Annotated[str | None, typer.Option(help="a field path; fields below it count")] = None,
    type: TemplateType | None = None,
    tag: str | None = None,
    status: TemplateStatus | None = None,
) -> None:
    """List templates, filtered."""

    async def pages(store: TemplateStoreClient) -> list[ThoughtTemplate]:
        found: list[ThoughtTemplate] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await store.list(field=field, type=type, tag=tag, status=status, cursor=cursor, limit=200)
            found += page.templates
            cursor = page.next_cursor
        return found

    table = Table(Column("id", no_wrap=True), "name", "type", "field", "status")
    for template in _ask(pages):
        table.add_row(template.id, template.name, template.type.value, template.field, template.status.value)
    console.print(table)


@app.command()
def validate(
    folder: Annotated[Path | None, typer.Argument(help="a library folder; default: the configured one")] = None,
    meanings: Annotated[bool, typer.Option(help="also look for near-duplicates with the embedding model")] = True,
) -> None:
    """Check every template of a folder: contract, worked example, independent check, duplicates. Needs no service.

    Exit code 1 when anything is wrong."""
    from calculator import evaluate_in_process
    from template_store import library, validation

    configured = Settings()
    where = folder or configured.library_dir
    try:
        templates = library.read(where)
    except LibraryInvalid as error:
        _report([(str(problem.file), problem.field, problem.message) for problem in error.problems])
        raise typer.Exit(1) from None
    findings = [finding for template in templates for finding in validation.validate(template, evaluate_in_process)]
    texts = [validation.meaning(template) for template in templates]
    vectors = asyncio.run(_embedded(configured.embedding_model, texts)) if meanings else None
    findings += validation.duplicates(templates, vectors)
    if findings:
        _report([(finding.template_id, finding.where, finding.message) for finding in findings])
        raise typer.Exit(1)
    console.print(Text(f"{len(templates)} templates in {where}: nothing wrong"))


async def _embedded(model: str, texts: list[str]) -> Vectors:
    from template_store.embedding import SentenceEmbedder

    embedder = await SentenceEmbedder.open(model)
    try:
        return await embedder.embed(texts)
    finally:
        embedder.close()


def _report(rows: list[tuple[str, str, str]]) -> None:
    table = Table("template", "where", "what is wrong")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"{len(rows)} finding(s)")
