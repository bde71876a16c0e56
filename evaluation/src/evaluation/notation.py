"""The notations in which one and the same answer may be written, brought into LaTeX that a grammar reads."""

import re

_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox|mathbf|operatorname)\s*\{([^{}]*)\}")
_UNIT = re.compile(r"(?<=[\d})])\s*\\(?:text|mathrm|mbox)\s*\{[^{}]*\}(?:\^\{?\d+\}?)?\s*$")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°")
_BASE = re.compile(r"(?<=\d)_\{?\d+\}?$")
_ASSIGNED = re.compile(r"^\s*[A-Za-z](?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))\s*")
_PLAIN_WORDS = re.compile(r"[A-Za-z][A-Za-z ,.'-]*")
_PLAIN_FUNCTIONS = re.compile(r"(?<![\\A-Za-z])(sqrt|pi|log|ln|sin|cos|tan)\b")
_ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")


def variants(text: str) -> list[str]:
    """The text, cleaned, and again without what may be left out: a unit, the name of what was asked for."""
    text = text.strip().rstrip(".").replace(r"\!", "").replace(r"\$", "").replace("$", "").replace("**", "^")
    text = _DEGREES.sub("", text).replace("−", "-").replace("π", r"\pi").replace("∞", r"\infty").replace("√", r"\sqrt")
    text = _ROOT.sub(r"\\sqrt{\1}", _PLAIN_FUNCTIONS.sub(r"\\\1", text))
    found = [text, _UNIT.sub("", text), _ASSIGNED.sub("", text)]
    return [variant for variant in dict.fromkeys(found) if variant.strip()]
