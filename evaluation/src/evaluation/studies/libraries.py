"""Libraries of other sizes: nested parts of a library, the whole one among many distractors, and one that some
templates are added to while it is served."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from math import ceil
from random import Random

from evaluation.ladder import ALL
from reasonflux.client import TemplateStoreClient
from reasonflux.contracts import FailureKind, ImportOutcome, ImportReport, Provenance, TemplateStatus, ThoughtTemplate
from reasonflux.errors import InvalidRequest, ReasonFluxError

HELD_FAMILIES = (
    "meeting-time",
    "simple-interest",
    "mixture-percentage",
    "committee-two-groups",
    "work-together",
    "percent-increase-decrease",
    "power-remainder",
    "geometric-nth-term",
)
"""Families of the ladder whose templates are added afterwards; `training.studies.binding` never trains on them."""
BATCH = 50
"""Templates sent at a time: the store works every example before it answers."""
PATIENCE = 10
"""How often in a row a batch is sent to a store that is busy."""


def part(templates: Sequence[ThoughtTemplate], percent: int, seed: int) -> list[ThoughtTemplate]:
    """So many per cent of the templates, drawn by seed. A larger part holds every smaller one."""
    order = sorted(templates, key=lambda template: template.id)
    Random(seed).shuffle(order)
    return order[: ceil(len(order) * percent / 100)]


def held_out(
    templates: Sequence[ThoughtTemplate], families: Sequence[str]
) -> tuple[list[ThoughtTemplate], list[ThoughtTemplate]]:
    """The templates that none of these families of the ladder asks for, and those that one does. Raises InvalidRequest
    for a family that does not exist, or whose template is not among them."""
    unknown = [name for name in families if name not in ALL]
    if unknown:
        raise InvalidRequest(f"there is no family {', '.join(unknown)}", hint=f"choose from {', '.join(ALL)}")
    held = {ALL[name].template_id for name in families}
    missing = held - {template.id for template in templates}
    if missing:
        hint = "take them from the library that they are in, such as --library math"
        raise InvalidRequest(f"the library has no template {', '.join(sorted(missing))}", hint=hint)
    kept = [template for template in templates if template.id not in held]
    return kept, [template for template in templates if template.id in held]


def distractors(templates: Sequence[ThoughtTemplate], count: int, seed: int) -> list[ThoughtTemplate]:
    """Sound templates that no problem asks for: what one of them does, told in the words of two others."""
    rng, made = Random(seed), []
    for number in range(count):
        does, one, other = rng.sample(list(templates), 3)
        made.append(
            does.model_copy(
                update={
                    "id": f"distractor-{number:05}",
                    "name": f"{_half(one.name)} {_half(other.name, last=True)} {number}"[:120],
                    "field": one.field,
                    "tags": tuple(dict.fromkeys((*one.tags[:2], *other.tags[:2])))[:12],
                    "description": f"{_half(one.description)} {_half(other.description, last=True)}",
                    "scope": tuple(dict.fromkeys((*one.scope[:1], *other.scope[:1]))),
                    "pitfalls": (),
                    "provenance": Provenance(source="evaluation", detail="distractor"),
                    "revision": 1,
                }
            )
        )
    return made


def _half(text: str, *, last: bool = False) -> str:
    words = text.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[middle:] if last else words[:middle]) or text


async def whole(store: TemplateStoreClient, library: str) -> list[ThoughtTemplate]:
    """Every active template of a library."""
    async with aclosing(store.export(library=library, status=TemplateStatus.ACTIVE)) as pieces:
        content = b"".join([piece async for piece in pieces])
    return [ThoughtTemplate.model_validate_json(line) for line in content.splitlines() if line.strip()]


async def before_and_after(store: TemplateStoreClient, library: str, families: Sequence[str]) -> dict[str, int]:
    """Two libraries: LIBRARY-before without the templates of these families, and LIBRARY-after, which is served
    without them and then gets them. Their sizes by their names; a second call changes nothing."""
    kept, held = held_out(await whole(store, library), families)
    before, after = f"{library}-before", f"{library}-after"
    for name in (before, after):
        await fill(store, name, kept)
    await fill(store, after, held)
    return {before: len(kept), after: len(kept) + len(held)}


async def fill(store: TemplateStoreClient, name: str, templates: Sequence[ThoughtTemplate]) -> None:
    """Make the library of this name hold these templates; those that it holds already stay. Raises InvalidRequest
    where it refuses some."""
    await store.create_library(name)
    there = {template.id for template in await whole(store, name)}
    missing = [template for template in templates if template.id not in there]
    for start in range(0, len(missing), BATCH):
        content = "\n".join(template.model_dump_json() for template in missing[start : start + BATCH]).encode()
        report = await _imported(store, name, content)
        refused = [entry for entry in report.entries if entry.outcome is ImportOutcome.REFUSED]
        if refused:
            told = "; ".join(fault.message for fault in refused[0].faults)
            raise InvalidRequest(
                f"{name}: {len(refused)} templates were refused, such as {refused[0].template_id}: {told}"
            )


async def _imported(store: TemplateStoreClient, name: str, content: bytes) -> ImportReport:
    for turn in range(PATIENCE):
        try:
            return await store.import_templates(content, library=name, status=TemplateStatus.ACTIVE, by="evaluation")
        except ReasonFluxError as error:
            if error.failure.kind not in (FailureKind.SERVICE_UNAVAILABLE, FailureKind.OVERLOADED):
                raise
        await asyncio.sleep(min(10.0, 0.5 * 2.0**turn))
    return await store.import_templates(content, library=name, status=TemplateStatus.ACTIVE, by="evaluation")
