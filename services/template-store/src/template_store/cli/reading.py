"""Commands that look into a running store."""

from collections import Counter
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from reasonflux.contracts import Query, SearchRequest, TemplateStatus, TemplateType, ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store.cli.asking import MATH, LibraryOption, ask, console, every, plain


def search(
    text: Annotated[str, typer.Argument(help="what the step is about")] = "",
    name: Annotated[str, typer.Option(help="a template's name, or a guess at it")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="may be given several times")] = None,
    field: Annotated[str | None, typer.Option(help="a soft wish, such as algebra/sequences")] = None,
    top: Annotated[int, typer.Option(min=1, max=100)] = 5,
    library: LibraryOption = MATH,
) -> None:
    """Find the templates that fit best."""
    if not (text.strip() or name.strip() or tag):
        raise InvalidRequest("the query is empty", hint='say what the step is about: templates search "sum of roots"')
    query = Query(name=name, tags=tuple(tag or ()), text=text, field=field)
    asked = SearchRequest(queries=(query,), top_k=top, library=library)
    [retrieval] = ask(lambda store: store.search(asked)).retrievals
    table = Table("score", Column("id", overflow="fold"), "name", "parts")
    for found in retrieval.candidates:
        parts = "  ".join(f"{part} {value:.2f}" for part, value in found.parts.items())
        table.add_row(f"{found.score:.3f}", found.template_id, plain(found.name), parts)
    console.print(table)
    console.print(f"chosen: {retrieval.template.id if retrieval.template else 'none, nothing fits well enough'}")


def show(
    template_id: str,
    revision: Annotated[int | None, typer.Option(min=1, help="as it was then; default: as it is")] = None,
    library: LibraryOption = MATH,
) -> None:
    """Print one template."""
    _print(ask(lambda store: store.get(template_id, library=library, revision=revision)))


def _print(template: ThoughtTemplate) -> None:
    console.rule(plain(template.name))
    console.print(plain(f"{template.type.value} in {template.field}; tags: {', '.join(template.tags)}"))
    console.print(
        plain(f"{template.status.value}, revision {template.revision}, from {_origin(template)}", style="dim")
    )
    console.print(plain(template.description))
    for title, lines in (("when", template.scope), ("not when", template.pitfalls)):
        for line in lines:
            console.print(plain(f"  {title}: {line}"))
    for name, meaning in template.variables.items():
        console.print(Text.assemble("  ", (name, "cyan"), f": {meaning}"))
    for number, step in enumerate(template.steps, 1):
        console.print(Text.assemble(f"{number}. {step.instruction}", (f"   {step.formula or ''}", "cyan")))
    console.print(plain(f"example: {template.example.problem}"))
    for line in template.example.steps:
        console.print(plain(f"  {line}"))
    console.print(Text.assemble(f"answer: {template.example.answer}   ", (f"check: {template.example.check}", "cyan")))


def _origin(template: ThoughtTemplate) -> str:
    detail = template.provenance.detail
    return f"{template.provenance.source} ({detail})" if detail else template.provenance.source


def list_(
    field: Annotated[str | None, typer.Option(help="a field path; fields below it count")] = None,
    type: TemplateType | None = None,
    tag: str | None = None,
    status: TemplateStatus | None = None,
    library: LibraryOption = MATH,
) -> None:
    """List templates, filtered."""
    table = Table(Column("id", no_wrap=True), "name", "type", "field", "status")
    found = ask(lambda store: every(store, library, status=status, field=field, type=type, tag=tag))
    for template in found:
        table.add_row(template.id, plain(template.name), template.type.value, template.field, template.status.value)
    console.print(table)
    console.print(f"{len(found)} template(s)")


def history(template_id: str, library: LibraryOption = MATH) -> None:
    """Every change of one template."""
    table = Table("revision", "when", "what", "by", "why")
    for change in ask(lambda store: store.history(template_id, library=library)).changes:
        when = change.at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(change.revision), when, change.kind.value, plain(change.by), plain(change.note))
    console.print(table)


def stats(library: LibraryOption = MATH) -> None:
    """The tree of fields with the number of templates in each, by status and type."""
    templates = ask(lambda store: every(store, library))
    active = [template for template in templates if template.status is TemplateStatus.ACTIVE]
    tree = Tree(f"{library}: {len(active)} active templates")
    for root, inside in sorted(_grouped(active).items()):
        branch = tree.add(f"{root}: {sum(inside.values())}")
        for topic, count in sorted(inside.items()):
            branch.add(f"{topic}: {count}")
    console.print(tree)
    for title, counts in (
        ("status", Counter(template.status.value for template in templates)),
        ("type", Counter(template.type.value for template in active)),
        ("source", Counter(template.provenance.source for template in templates)),
    ):
        console.print(plain(f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common())))


def _grouped(templates: list[ThoughtTemplate]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for template in templates:
        root, _, topic = template.field.partition("/")
        found.setdefault(root, Counter())[topic or "(no topic)"] += 1
    return found


def libraries() -> None:
    """The libraries of the store."""
    table = Table("library", "revision", *(status.value for status in TemplateStatus))
    for info in ask(lambda store: store.libraries()):
        counts = (str(info.counts.get(status, 0)) for status in TemplateStatus)
        table.add_row(info.name, str(info.revision), *counts)
    console.print(table)
