"""The notations in which one and the same answer may be written, brought into LaTeX that a grammar reads."""

import re

_UNIT = re.compile(r"(?<=[\d})])\s*\\(?:text|mathrm|mbox)\s*\{[^{}]*\}(?:\^\{?\d+\}?)?\s*$")
# Words are a unit; short ones only where they are known, because `5 ab` may be a product.
_SHORT_UNIT = r"(?:[cmk]?m|k?g|mg|ml|l|s|h|hr?s?|min|ft|in|mph|rpm|km/h|m/s|USD|°?[CF])"
_PLAIN_UNIT = re.compile(rf"(?<=[\d}})])\s+(?:{_SHORT_UNIT}|[a-z]{{3,}}(?:[ -][a-z]+)*)(?:\^\{{?[23]\}}?)?\s*$")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°")
_BASE = re.compile(r"(?<=[\dA-Z])_\{?(?:\\text\{)?(\d+)\}*$")
_ASSIGNED = re.compile(r"^\s*[A-Za-z](?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))\s*")
_NAME = re.compile(r"\s*(?P<name>[^=<>{}]*[A-Za-z][^=<>{}]*|[A-Za-z]_\{?\w+\}?)\s*=\s*(?P<value>[^=<>]+)")
_BUILDER = re.compile(
    r"^\\\{\s*[a-z](?:\s*\\in\s*(?:\\mathbb\s*\{?R\}?|\\Bbb\s*R|R))?\s*(?:\||\\mid(?![a-z])|\\vert(?![a-z])|:)(.+)\\\}$"
)
_BIG = re.compile(r"\\(?:left|right|big|Big)(?![a-zA-Z])")
_AND = re.compile(r",?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b)\s*|;")
_PLAIN_FUNCTIONS = re.compile(r"(?<![\\A-Za-z])(sqrt|pi|log|ln|sin|cos|tan)\b")
_ARGUMENT = r"\s*(\\(?:pi|theta|alpha|beta)|\w|\{[^{}]*\})"
_BARE_FRACTION = re.compile(r"\\[dt]?frac" + 2 * _ARGUMENT)
_ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_SAME_SIGN = (
    (r"\!", ""), (r"\$", ""), ("$", ""), ("**", "^"), ("−", "-"), ("–", "-"), ("π", r"\pi"), ("∞", r"\infty"),
    ("√", r"\sqrt"), ("∅", r"\emptyset"), (r"\varnothing", r"\emptyset"), ("≤", r"\leq "), ("≥", r"\geq "),
    ("∪", r"\cup "), ("×", r"\times "),
)  # fmt: skip


def variants(text: str) -> list[str]:
    """The text, cleaned, and again without what may be left out: a unit, the name of what was asked for."""
    text = _clean(text)
    builder = _BUILDER.match(text.strip())
    found = [text, _UNIT.sub("", text), _PLAIN_UNIT.sub("", text), _ASSIGNED.sub("", text)]
    found += [builder[1].strip()] if builder else []
    return [variant for variant in dict.fromkeys(found) if variant.strip()]


def parts(text: str) -> tuple[str, ...]:
    """The answers in a text that gives several (`3, 5`, `x = 1 or x = 2`): cut at commas outside brackets."""
    text = _clean(text)
    if text.startswith(r"\{") and text.endswith(r"\}") and text.count(r"\{") == 1:
        text = text[2:-2]
    found, start, depth = [], 0, 0
    text = _AND.sub(",", text)
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0 and not _thousands(text, place):
            found.append(text[start:place])
            start = place + 1
    found.append(text[start:])
    return tuple(part.strip() for part in found if part.strip())


def named(text: str) -> dict[str, str] | None:
    """What each name stands for in `f(n) = n, g(n) = 1`; None where a part has no name or two have the same."""
    found: dict[str, str] = {}
    for part in parts(text):
        match = _NAME.fullmatch(part)
        if match is None or (name := "".join(match["name"].split())) in found:
            return None
        found[name] = match["value"].strip()
    return found


def base(text: str) -> str | None:
    """The base in which a number is written (`4210_5`), where it says so."""
    match = _BASE.search(_clean(text))
    return match[1] if match else None


def _clean(text: str) -> str:
    text = text.strip().rstrip(".")
    for sign, other in _SAME_SIGN:
        text = text.replace(sign, other)
    text = _BARE_FRACTION.sub(_braced, _DEGREES.sub("", _BIG.sub("", text)))
    return _ROOT.sub(r"\\sqrt{\1}", _PLAIN_FUNCTIONS.sub(r"\\\1", text)).strip()


def _braced(fraction: re.Match[str]) -> str:
    return r"\frac" + "".join(part if part.startswith("{") else f"{{{part}}}" for part in fraction.groups())


def _thousands(text: str, place: int) -> bool:
    """Whether a comma groups digits, as in `12,345`."""
    return re.fullmatch(r"\d{3}(?!\d).*", text[place + 1 : place + 5] + " ", re.DOTALL) is not None and (
        re.search(r"(?<![\d,])\d{1,3}(?:,\d{3})*$", text[:place]) is not None
    )
