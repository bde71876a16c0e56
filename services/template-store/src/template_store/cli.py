"""`reasonflux templates …`: look into a running store, or check a library folder without any service."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from reasonflux.contracts import Query, SearchRequest, SearchResponse, ThoughtTemplate
from reasonflux.errors import ReasonFluxError, ServiceUnavailable
from template_store.errors import LibraryInvalid
from template_store.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Search, read and check thought templates.")
console = Console()


def _ask(method: str, path: str, **request: Any) -> Any:
    """One call to the store; a failure ends the command with its sentence and exit code 1."""
    url = os.environ.get("REASONFLUX_TEMPLATE_STORE_URL", "http://127.0.0.1:8002")
    try:
        reply = httpx.request(method, f"{url}/v1/templates{path}", timeout=30.0, **request)
    except httpx.HTTPError as error:
        _fail(ServiceUnavailable(f"no template store at {url}: {error}", hint="start one with `reasonflux up`"))
    if reply.is_error:
        try:
            said = reply.json()["error"]["message"]
        except (ValueError, LookupError, TypeError):
            said = reply.text[:200]
        console.print(f"[red]{reply.status_code}[/]: {said}", highlight=False)
        raise typer.Exit(1)
    return reply.json()


def _fail(error: ReasonFluxError) -> None:
    console.print(f"[red]error[/]: {error}", highlight=False)
    raise typer.Exit(1)


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
    body = SearchRequest(queries=(query,), top_k=top).model_dump(mode="json")
    retrieval = SearchResponse.model_validate(_ask("POST", "/search", json=body)).retrievals[0]
    table = Table("score", "id", "name", "parts")
    for found in retrieval.candidates:
        parts = "  ".join(f"{part} {value:.2f}" for part, value in found.parts.items())
        table.add_row(f"{found.score:.3f}", found.template_id, found.name, parts)
    console.print(table)
    console.print(f"chosen: {retrieval.template.id if retrieval.template else 'none, nothing fits well enough'}")


@app.command()
def show(template_id: str) -> None:
    """Print one template."""
    template = ThoughtTemplate.model_validate(_ask("GET", f"/{template_id}"))
    console.rule(template.name)
    console.print(f"{template.type.value} in {template.field}; tags: {', '.join(template.tags)}", highlight=False)
    console.print(template.description)
    for title, lines in (("when", template.scope), ("not when", template.pitfalls)):
        for line in lines:
            console.print(f"  {title}: {line}", highlight=False)
    for number, step in enumerate(template.steps, 1):
        formula = f"   [cyan]{step.formula}[/]" if step.formula else ""
        console.print(f"{number}. {step.instruction}{formula}", highlight=False)
    console.print(f"example: {template.example.problem}\nanswer: {template.example.answer}", highlight=False)


@app.command("list")
def list_(field: str | None = None, type: str | None = None, tag: str | None = None, status: str | None = None) -> None:
    """List templates, filtered."""
    asked = {"field": field, "type": type, "tag": tag, "status": status, "limit": "200"}
    params = {key: value for key, value in asked.items() if value}
    table = Table("id", "name", "type", "field", "status")
    while True:
        page = _ask("GET", "", params=params)
        for template in map(ThoughtTemplate.model_validate, page["templates"]):
            table.add_row(template.id, template.name, template.type.value, template.field, template.status.value)
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    console.print(table)


@app.command()
def validate(
    folder: Annotated[Path | None, typer.Argument(help="a library folder; default: the configured one")] = None,
    meanings: Annotated[bool, typer.Option(help="also look for near-duplicates with the embedding model")] = True,
) -> None:
    """Check every template of a folder: contract, worked example, independent check, duplicates. Needs no service."""
    from calculator import evaluate_in_process
    from template_store import library, validation
    from template_store.embedding import SentenceEmbedder

    configured = Settings()
    where = folder or configured.library_dir
    table = Table("template", "where", "what is wrong")
    try:
        templates = library.read(where)
        findings = [finding for template in templates for finding in validation.validate(template, evaluate_in_process)]

        async def embedded() -> Any:
            embedder = await SentenceEmbedder.open(configured.embedding_model)
            try:
                return await embedder.embed([validation.meaning(template) for template in templates])
            finally:
                embedder.close()

        findings += validation.duplicates(templates, asyncio.run(embedded()) if meanings else None)
    except LibraryInvalid as error:
        for problem in error.problems:
            table.add_row(str(problem.file), problem.field, problem.message)
        console.print(table)
        raise typer.Exit(1) from None
    except ReasonFluxError as error:
        _fail(error)
    for finding in findings:
        table.add_row(finding.template_id, finding.where, finding.message)
    if findings:
        console.print(table)
        raise typer.Exit(1)
    console.print(f"{len(templates)} templates in {where}: all examples check out", highlight=False)
