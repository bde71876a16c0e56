"""The public ReasonFlux v1 library (chapter → section → list of templates, in JSON) read as thought templates.

Nothing is made up: what the source does not have (variables, formulas, a machine-checkable answer) stays empty, so an
imported template is quarantined until somebody adds it. Every entry arrives or is refused with a reason.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from reasonflux.contracts import (
    Contract,
    Provenance,
    TemplateStatus,
    TemplateStep,
    TemplateType,
    ThoughtTemplate,
    WorkedExample,
)
from reasonflux.errors import InvalidRequest
from template_store.exchange.admission import shown
from template_store.retrieval.ranking import fold

SOURCE = "reasonflux-v1"
MAX_NAME, MAX_SLUG, MAX_TAGS = 120, 80, 12

# In this order: "Important Formulas and Theorems" is a formula, "Secondary Conclusion" no theorem.
_TYPES: tuple[tuple[str, TemplateType], ...] = (
    (r"formula", TemplateType.FORMULA_RULE),
    (r"second|level 2|conclusion", TemplateType.SECONDARY_CONCLUSION),
    (r"propert|theorem", TemplateType.PROPERTY_THEOREM),
    (r"knowledge|application", TemplateType.KNOWLEDGE_APPLICATION),
    (r"method|solution|solving", TemplateType.PROBLEM_SOLVING_METHOD),
)
_MARKER = re.compile(r"^\s*(?:step\s*\d+\s*[:.)-]?|\(?\d+[.)]|[-•])\s*", re.IGNORECASE)
_PROBLEM = re.compile(r"^\s*(?:example(?:\s+problem)?|problem|question)[^:]{0,30}:\s*", re.IGNORECASE)
_SOLUTION = re.compile(r"^\s*(?:solution|solving|steps|problem-solving|analysis|proof)[^:\n]{0,30}:\s*$", re.IGNORECASE)
_ANSWER = re.compile(r"^\s*(?:final\s+)?answers?\s*:\s*(.+)$", re.IGNORECASE)


class Arrival(Contract):
    """One entry of the source: the template that it became, or the reason why it became none."""

    place: str
    """chapter > section > name"""
    template: ThoughtTemplate | None = None
    refused: str | None = None


def template_type(spelling: str) -> TemplateType:
    """One of the paper's five types from any of the 29 spellings of the source. Raises ValueError."""
    for pattern, found in _TYPES:
        if re.search(pattern, spelling.lower()):
            return found
    raise ValueError(f"template_type: {spelling!r} is none of the five types")


def read_v1(data: Any) -> list[Arrival]:
    """One arrival per entry, in order. Raises InvalidRequest when the data has another shape altogether."""
    names: set[str] = set()
    ids: set[str] = set()
    arrivals = []
    for chapter, section, entry in _entries(data):
        label = entry.get("template_name") if isinstance(entry, Mapping) else None
        place = shown(" > ".join([chapter, section, str(label)]))
        try:
            template = _template(chapter, section, entry, names, ids)
        except ValidationError as error:
            fields = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors())
            arrivals.append(Arrival(place=place, refused=fields))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            arrivals.append(Arrival(place=place, refused=reason))
        else:
            names.add(fold(template.name))
            ids.add(template.id)
            arrivals.append(Arrival(place=place, template=template))
    return arrivals


def _entries(data: Any) -> Iterator[tuple[str, str, Any]]:
    try:
        for chapter, sections in data.items():
            for section, entries in sections.items():
                if not isinstance(entries, list):
                    raise TypeError
                for entry in entries:
                    yield str(chapter), str(section), entry
    except (AttributeError, TypeError) as error:
        raise InvalidRequest(
            "this is no ReasonFlux v1 library", hint="it is a JSON object: chapter → section → list of templates"
        ) from error


def _template(chapter: str, section: str, entry: Any, names: set[str], ids: set[str]) -> ThoughtTemplate:
    name = _unique_name(_line(entry["template_name"]), section, names)
    return ThoughtTemplate(
        id=_unique_slug(name, ids),
        name=name,
        type=template_type(_line(entry["template_type"])),
        field=f"{slug(chapter)}/{slug(section)}",
        tags=tuple(dict.fromkeys(map(_line, entry["knowledge_tag"])))[:MAX_TAGS],
        description=_line(entry["description"]),
        scope=tuple(_lines(entry["application_scenario"])),
        steps=tuple(TemplateStep(instruction=line) for line in _lines(entry["reason_flow"])),
        example=_example(entry["example_application"]),
        provenance=Provenance(source=SOURCE, detail=f"{chapter} > {section}"),
        status=TemplateStatus.QUARANTINED,
    )


def _example(source: Any) -> WorkedExample:
    """The source writes its examples as prose or as objects with keys of many spellings."""
    if isinstance(source, Mapping):
        if source and all(isinstance(value, Mapping) for value in source.values()):
            return _example(next(iter(source.values())))  # several examples: the first will do
        fields = {str(key).lower().replace(" ", "_"): value for key, value in source.items()}
        answer = next(("; ".join(_lines(value)) for key, value in fields.items() if "answer" in key), "")
        asked = next((_text(v) for k, v in fields.items() if re.search("problem|question|title|statement", k)), "")
        rest = [v for k, v in fields.items() if re.search("solution|solving|process|steps|analysis", k)]
        return WorkedExample(problem=asked, steps=tuple(line for v in rest for line in _lines(v)), answer=answer)
    text = _PROBLEM.sub("", str(source).replace("\\n", "\n")).strip()
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("example_application: is empty")
    answers = [match.group(1).strip() for line in lines if (match := _ANSWER.match(line))]
    body = [line for line in lines[1:] if not _SOLUTION.match(line) and not _ANSWER.match(line)]
    steps = tuple(_unmarked(line) for line in body if _unmarked(line))
    return WorkedExample(problem=lines[0].strip(), steps=steps, answer=answers[-1] if answers else "")


def _lines(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else [value]
    return [line for part in parts if (line := _unmarked(_line(part)))]


def _text(value: Any) -> str:
    return " ".join(_lines(value))


def _unmarked(line: str) -> str:
    """Without the numbering and the bold marks of the source."""
    return _MARKER.sub("", line.replace("**", "")).strip()


def _line(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be text")
    return " ".join(value.replace("\\n", " ").split())


def _unique_name(name: str, section: str, taken: set[str]) -> str:
    if len(name) > MAX_NAME:
        raise ValueError(f"template_name: is longer than {MAX_NAME} characters")
    candidates = (name, f"{name} ({section})", *(f"{name} ({number})" for number in range(2, 100)))
    free = next((c for c in candidates if len(c) <= MAX_NAME and fold(c) not in taken), None)
    if free is None:
        raise ValueError("template_name: another entry has it, and it leaves no room to tell the two apart")
    return free


def slug(text: str) -> str:
    """Lower-case ASCII words joined by hyphens, at most 80 characters."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:MAX_SLUG].strip("-") or "unnamed"


def _unique_slug(name: str, taken: set[str]) -> str:
    base = slug(name)
    candidates = (base, *(f"{base[: MAX_SLUG - 4]}-{number}" for number in range(2, 1000)))
    free = next((candidate for candidate in candidates if candidate not in taken), None)
    if free is None:
        raise ValueError("template_name: too many entries have the same name")
    return free
