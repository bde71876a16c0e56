"""LaTeX in text, as MathML. Pure.

The converter trusts what it is given: `\\text{<b>}` comes out as an element, `\\href` as a link. So what it writes is
parsed and rebuilt from an allowlist, and what cannot be read so is left as the text that it was.
"""

from functools import lru_cache
from xml.etree import ElementTree

from latex2mathml.converter import convert
from pydantic import Field

from reasonflux.contracts import Contract
from reasonflux.contracts.problem import formulas

MAX_FORMULA_CHARS = 1_000
MAX_DEPTH = 60
"""Of nested elements; a formula that anybody reads has about ten."""
MAX_EM = 20.0
"""The widest space that a formula may ask for."""

_MATHML = "http://www.w3.org/1998/Math/MathML"
_ELEMENTS = frozenset(
    (
        *("math", "mrow", "mi", "mn", "mo", "ms", "mspace", "mtext", "mfrac", "msqrt", "mroot", "mstyle", "merror"),
        *("mpadded", "mphantom", "menclose", "msub", "msup", "msubsup", "munder", "mover", "munderover"),
        *("mmultiscripts", "mprescripts", "mtable", "mtr", "mtd"),
    )
)
_WORDS = frozenset(
    (
        *("display", "displaystyle", "scriptlevel", "mathvariant", "stretchy", "fence", "separator", "form", "accent"),
        *("accentunder", "largeop", "movablelimits", "symmetric", "columnalign", "rowalign", "columnlines"),
        *("rowlines", "notation"),
    )
)
_LENGTHS = frozenset(["width", "height", "depth", "lspace", "rspace", "voffset", "linethickness", "minsize", "maxsize"])
_FENCES = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


class Piece(Contract):
    """A part of a text: words, or a formula as it was written, with its MathML where it could be read."""

    text: str
    mathml: str | None = Field(default=None, description="a sanitised <math> element; None: show `text`")


def pieces(text: str) -> tuple[Piece, ...]:
    """The text cut at its formulas; joined, the pieces' texts are the text."""
    cut: list[Piece] = []
    place = 0
    for start, end in formulas(text):
        if place < start:
            cut.append(Piece(text=text[place:start]))
        cut.append(Piece(text=text[start:end], mathml=mathml(text[start:end])))
        place = end
    if place < len(text):
        cut.append(Piece(text=text[place:]))
    return tuple(cut)


@lru_cache(maxsize=4096)
def mathml(formula: str) -> str | None:
    """The formula, with its delimiters, as one sanitised <math> element. None when it cannot be read."""
    latex, display = _inside(formula)
    if not latex.strip() or len(latex) > MAX_FORMULA_CHARS:
        return None
    try:
        written = ElementTree.fromstring(convert(latex, display="block" if display else "inline"))
        return ElementTree.tostring(_allowed(written, 0), encoding="unicode")
    except Exception:  # the converter has no error of its own: on strange input it raises whatever comes
        return None


def _inside(formula: str) -> tuple[str, bool]:
    """What stands between the delimiters, and whether it stands on a line of its own."""
    for opening, closing in _FENCES:
        if formula.startswith(opening) and formula.endswith(closing) and len(formula) >= len(opening + closing):
            return formula[len(opening) : -len(closing)], opening in ("$$", "\\[")
    return formula, True


def _allowed(element: ElementTree.Element, depth: int) -> ElementTree.Element:
    """The element rebuilt from what is allowed. Raises ValueError for an element that is not."""
    name = element.tag.removeprefix(f"{{{_MATHML}}}")
    if name not in _ELEMENTS or depth > MAX_DEPTH:
        raise ValueError(f"no element of a formula: {name}")
    kept = {key: value for key, value in element.attrib.items() if _harmless(key, value)}
    namespace = {"xmlns": _MATHML} if depth == 0 else {}
    rebuilt = ElementTree.Element(name, {**namespace, **kept})
    rebuilt.text, rebuilt.tail = element.text, element.tail if depth else None
    rebuilt.extend(_allowed(child, depth + 1) for child in element)
    return rebuilt


def _harmless(key: str, value: str) -> bool:
    if key in _LENGTHS:
        number = value.removesuffix("em").removesuffix("pt").removesuffix("%")
        try:
            return abs(float(number)) <= MAX_EM
        except ValueError:
            return False
    return key in _WORDS and value.replace("-", "").replace(" ", "").isalnum()
