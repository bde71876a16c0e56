"""Commands that check a folder of templates; they need no service."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from reasonflux.contracts import Fault, ThoughtTemplate
from template_store.cli.asking import console, faulty, plain, progress, report, unwritable
from template_store.errors import LibraryInvalid
from template_store.ports import Vectors
from template_store.settings import Settings

if TYPE_CHECKING:
    from template_store.quality.contamination import BenchmarkProblem

FolderArgument = Annotated[Path | None, typer.Argument(help="a folder or a file; default: the configured folder")]
AgainstOption = Annotated[
    list[Path],
    typer.Option("--against", help="benchmark files (JSON lines with `problem`); may be given several times"),
]
CALCULATION_SECONDS = 20.0


def validate(
    folder: FolderArgument = None,
    meanings: Annotated[bool, typer.Option(help="also look for near-duplicates with the embedding model")] = True,
) -> None:
    """Check every template of a folder: contract, worked example, independent check, duplicates.

    Exit code 1 when anything is wrong."""
    from template_store.quality.duplicates import duplicates, meaning

    templates, where = _templates(folder)
    faults = asyncio.run(checked(templates))
    findings = [row for t, found in zip(templates, faults, strict=True) for row in faulty(t.id, found)]
    texts = [meaning(template) for template in templates]
    vectors = asyncio.run(embedded(texts)) if meanings else None
    findings += [(found.template_id, found.where, found.message) for found in duplicates(templates, vectors)]
    if findings:
        report(findings)
        raise typer.Exit(1)
    active = sum(template.status.value == "active" for template in templates)
    looked = "0 duplicates" if meanings else "duplicates by meaning not looked for"
    console.print(
        f"templates in {where}: {len(templates)}, {active} active, every example verified, {looked}", soft_wrap=True
    )


def _templates(folder: Path | None) -> tuple[tuple[ThoughtTemplate, ...], Path]:
    from template_store import library

    where = folder or Settings().library_dir
    if where.is_file():
        return (library.read_template(where),), where
    try:
        return library.read(where), where
    except LibraryInvalid as error:
        rows = [(str(p.file.relative_to(where)), p.field, p.message) for p in error.problems]
        report(rows, first="file")
        raise typer.Exit(1) from None


async def checked(templates: Sequence[ThoughtTemplate]) -> list[tuple[Fault, ...]]:
    """What is wrong with each, found in the jailed calculator: a folder may be a stranger's."""
    from calculator import Calculator
    from template_store.quality.checks import Checks

    async with Calculator(processes=1, timeout=CALCULATION_SECONDS) as calculator:
        checks = Checks(calculator, seconds=3 * CALCULATION_SECONDS)
        with Progress(console=progress, transient=True) as bar:
            task = bar.add_task("working the examples", total=len(templates))
            found = []
            for template in templates:
                found.append(await checks.faults(template))
                bar.advance(task)
    return found


async def embedded(texts: list[str]) -> Vectors:
    from template_store.retrieval.embedding import SentenceEmbedder

    settings = Settings()
    embedder = await SentenceEmbedder.open(settings.embedding_model, cache_dir=settings.cache_dir)
    try:
        return await embedder.embed(texts)
    finally:
        embedder.close()


def decontaminate(against: AgainstOption, folder: FolderArgument = None) -> None:
    """Compare every example problem with benchmark files, by runs of words and by meaning.

    Exit code 1 when anything overlaps."""
    from template_store.quality.contamination import by_meaning, by_words, read_benchmark

    templates, _ = _templates(folder)
    problems = [problem for path in against for problem in read_benchmark(path)]
    texts = [template.example.problem for template in templates] + [problem.problem for problem in problems]
    with progress.status(f"embedding {len(texts)} problems"):
        rows = asyncio.run(embedded(texts))
    examples, benchmark = rows[: len(templates)], rows[len(templates) :]
    found = [*by_words(templates, problems), *by_meaning(templates, problems, examples, benchmark)]
    if found:
        report([(o.template_id, f"{o.source} {o.problem_id}", f"{o.kind}: {o.evidence}") for o in found])
        raise typer.Exit(1)
    console.print(f"{len(templates)} examples against {len(problems)} problems of {len(against)} file(s): no overlap")


def coverage(
    against: AgainstOption,
    folder: FolderArgument = None,
    write: Annotated[Path | None, typer.Option(help="write the picture to this Markdown file")] = None,
) -> None:
    """The tree of fields, and how many problems of each benchmark have a template, by subject."""
    from template_store.quality.contamination import read_benchmark

    templates, _ = _templates(folder)
    problems = [problem for path in against for problem in read_benchmark(path)]
    if write:  # it takes a while: better refused now than at the end
        try:
            write.open("a").close()
        except OSError as error:
            raise unwritable(write, error) from error
    with progress.status(f"looking for templates for {len(problems)} problems"):
        text = asyncio.run(_drawn(templates, problems))
    if write:
        write.write_text(text, encoding="utf-8")
        console.print(plain(f"written to {write}"), soft_wrap=True)
    else:
        console.print(plain(text))


async def _drawn(templates: Sequence[ThoughtTemplate], problems: "Sequence[BenchmarkProblem]") -> str:
    from template_store.quality.coverage import picture
    from template_store.retrieval.embedding import EmbeddingCache, SentenceEmbedder
    from template_store.retrieval.index import FaissIndex
    from template_store.retrieval.retriever import Retriever

    settings = Settings()
    embedder = await SentenceEmbedder.open(settings.embedding_model, cache_dir=settings.cache_dir)
    try:
        cache = EmbeddingCache(settings.cache_dir)
        threshold = settings.retrieval_threshold
        retriever = Retriever(embedder, FaissIndex(embedder.dimension), cache, threshold=threshold)
        await retriever.upsert(templates)
        sources = " ".join(f"--against {name}.jsonl" for name in dict.fromkeys(p.source for p in problems))
        command = f"reasonflux templates coverage {sources} --write docs/library.md"
        return await picture(templates, problems, retriever, embedder, command=command)
    finally:
        embedder.close()
