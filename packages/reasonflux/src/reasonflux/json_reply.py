r"""JSON that a language model wrote, with LaTeX in its strings.

Models write `\frac` inside JSON strings as often as the correct `\\frac`. JSON reads the first as a form feed and
"rac", and refuses `\lambda` altogether. Here an escape is read as JSON only where it cannot be LaTeX.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from reasonflux.contracts import FailureKind
from reasonflux.errors import ReasonFluxError

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[A-Za-z]+|[\s\S]|\Z)"
)
_STRING_PART = re.compile(rf'[^"\\]+|"|{_ESCAPE.pattern}')
_UNICODE = re.compile(r"\\u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})?")
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_HALF_UNICODE = re.compile(r"\\u[0-9a-fA-F]{0,3}")
_MAX_TRIES = 100

# A line break or a tab may stand before any word, so after \n and \t only these commands are LaTeX. (\b, \f and \r
# before a letter are always LaTeX: nobody asks for a backspace. \ni is left out: a new line that starts with i is
# likelier.)
_LATEX_N = """nabla natural ncong ne nearrow neg neq newline nexists ngeq ngtr nleq nless nmid nolimits nonumber norm
not notin nparallel nprec nsim nsubseteq nsucc nu nwarrow nRightarrow nleftarrow nrightarrow"""
_LATEX_T = """tag tan tanh tau tbinom text textbf textcolor textit textmd textnormal textrm textsc textsf textstyle
texttt textup tfrac therefore theta thetasym thickapprox thicksim thinspace tilde times tiny to top triangle
triangledown
triangleleft trianglelefteq triangleq triangleright trianglerighteq tt twoheadrightarrow"""
_LATEX = frozenset(f"{_LATEX_N} {_LATEX_T}".split())


class ReplyUnparsable(ReasonFluxError):
    """A model's reply is not the JSON that was asked for. The message can be shown to the model."""

    kind = FailureKind.UNPARSABLE_REPLY


def parse_reply(text: str) -> Any:
    """The JSON object in a reply; code fences, `<think>` blocks and prose around it are passed over.

    Of several objects the longest is taken. LaTeX in strings survives, with one backslash or two. Raises
    ReplyUnparsable with a message that the model can act on.
    """
    repaired = _ESCAPE.sub(lambda match: _json_escape(match.group()), text.rpartition("</think>")[2])
    decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)
    best: tuple[int, Any] | None = None
    first_error: ValueError | RecursionError | None = None
    position = repaired.find("{")
    for _ in range(_MAX_TRIES):
        if position < 0:
            break
        try:
            value, end = decoder.raw_decode(repaired, position)
        except (ValueError, RecursionError) as error:
            first_error = first_error or error
            end = position + 1
        else:
            if best is None or end - position > best[0]:
                best = (end - position, value)
        position = repaired.find("{", end)
    if best is not None:
        return best[1]
    raise _unparsable(repaired, first_error)


class FieldStream:
    """Reads one string field of a JSON object while the object is still being written.

    Feed it the raw deltas; it gives back the field's text as far as it is certain, LaTeX included. What a later delta
    could change (half an escape) is held back.
    """

    def __init__(self, field: str = "reasoning") -> None:
        self._start = re.compile(rf'(?<!\\)"{re.escape(field)}"\s*:\s*"')
        self._rest = ""
        self._inside = False
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the field has been read to its end."""
        return self._done

    def feed(self, delta: str) -> str:
        """The next piece of readable text; "" when there is none."""
        if self._done:
            return ""
        self._rest += delta
        if not self._inside:
            start = self._start.search(self._rest)
            if start is None:
                return ""
            self._inside, self._rest = True, self._rest[start.end() :]
        return "".join(self._readable())

    def _readable(self) -> Iterator[str]:
        while part := _STRING_PART.match(self._rest):
            token = part.group()
            if token == '"':
                self._done, self._rest = True, ""
                return
            if token[0] == "\\" and _may_go_on(token, self._rest[part.end() :]):
                return
            self._rest = self._rest[part.end() :]
            yield token if token[0] != "\\" else _decoded(token)


def _json_escape(escape: str) -> str:
    r"""A backslash and what follows, as valid JSON: `\"`, `\n`, `\u00e9` stay, LaTeX gets its backslash doubled."""
    if _UNICODE.fullmatch(escape):
        return r"\ufffd" if _LONE_SURROGATE.fullmatch(escape) else escape
    word = escape[1:]
    if word in ('"', "\\", "/") or word in ("b", "f", "n", "r", "t"):
        return escape
    if word[:1] in ("n", "t") and word not in _LATEX:
        return escape
    return "\\" + escape


def _decoded(escape: str) -> str:
    return str(json.loads(f'"{_json_escape(escape)}"', strict=False))


def _may_go_on(escape: str, following: str) -> bool:
    r"""Whether the end of the text so far may lie inside this escape: `\`, `\the`, `\u00`, half a surrogate pair."""
    if _LONE_SURROGATE.fullmatch(escape) and escape[3] in "89abAB":
        return len(following) < 6 and r"\u".startswith(following[:2])
    if _HALF_UNICODE.fullmatch(escape + following):
        return True
    if following:
        return False
    return escape == "\\" or (escape[1].isalpha() and not _UNICODE.fullmatch(escape))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unparsable(text: str, error: ValueError | RecursionError | None) -> ReplyUnparsable:
    hint = "answer with one JSON object that fits the schema, and nothing else"
    if error is None:
        return ReplyUnparsable("the reply contains no JSON object", hint=hint)
    if not isinstance(error, json.JSONDecodeError):
        return ReplyUnparsable("the reply's JSON object cannot be read", hint=hint)
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return ReplyUnparsable("the reply's JSON object is cut off before its end", hint=f"be shorter; {hint}")
    near = text[max(0, error.pos - 20) : error.pos + 20]
    return ReplyUnparsable(f"the reply's JSON object cannot be read: {error.msg} near {near!r}", hint=hint)
