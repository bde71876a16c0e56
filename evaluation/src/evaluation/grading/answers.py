"""Whether an answer is right: exact where both sides are plain numbers, math-verify for everything else.

An answer is hostile text. What is not a plain number is compared in a child process (`evaluation.grading.child`) that
is killed when it takes too long, so that grading never hangs, in whatever thread it is called.
"""

import atexit
import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from evaluation.grading import notation
from reasonflux.errors import ReasonFluxError

MAX_CHARS = 2_000
"""A longer answer is wrong: no gold answer comes near, and text of this size only costs time."""
SECONDS = 5.0
"""How long one comparison may take."""
START_SECONDS = 120.0
"""How long the child may take to import its libraries on a busy machine."""

MAX_PARTS = 32
"""More answers than this are compared as a whole only."""
ROUNDED_DIGITS = 6
"""A decimal with as many significant digits may stand for a fraction that has no end in decimals."""

_MAX_NUMBER_CHARS = 400
_SPACES = re.compile(r"\\[ ,;:!]|\\q?quad|~|\s")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_FRACTION = re.compile(r"([+-]?)\\[dt]?frac(?:\{([+-]?\d+)\}\{(\d+)\}|(\d)(\d))")
_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")
_PERCENT = re.compile(r"\s*\\?%$")
_MIXED = re.compile(r"(-?)(\d+)(\\[dt]?frac(?:\{\d+\}\{\d+\}|\d\d))")
_CURRENCY = re.compile(r"^([+-]?)\\?[$€£]")
_RATIO = re.compile(r"([+-]?\d+)/(\d+)")
_THE_ANSWER_IS = re.compile(r"(?i)\banswer\b(?:[^\n.:$]{0,60}?)(?:\s+is\b|\s*[:=])\s*:?\s*(?P<rest>[^\n]+)")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


class GraderUnavailable(ReasonFluxError):
    """Formulas cannot be compared on this machine; nothing is known about the answer."""


def grade(answer: str | None, gold: str, *, tolerance: float | None = None, unit: str | None = None) -> bool:
    """Whether `answer` (an answer, not a whole solution: see `extract`) has the value of `gold`.

    None, what cannot be read, and what takes longer than SECONDS to compare are wrong. Several answers are right in any
    order, unless both sides name them. `tolerance`: how far a number may be off; `unit`: what the number counts, which
    may be told or left out. Safe to call from any thread. Raises GraderUnavailable.
    """
    if answer is None or not answer.strip() or len(answer) > MAX_CHARS:
        return False
    given, wanted = _bare(answer), _bare(gold)
    if unit:
        given, wanted = (_bare(text.removesuffix(_bare(unit))) for text in (given, wanted))
    bases = {notation.base(given), notation.base(wanted)} - {None}
    if len(bases) > 1:
        return False
    mine, theirs = notation.named(given), notation.named(wanted)
    if mine is not None and theirs is not None and len(theirs) > 1 and mine.keys() == theirs.keys():
        return all(_same(mine[name], value, tolerance) for name, value in theirs.items())
    return _same(given, wanted, tolerance) or _same_parts(notation.parts(given), notation.parts(wanted), tolerance)


def _same(given: str, wanted: str, tolerance: float | None) -> bool:
    """Whether two single answers have one value."""
    # "What percent …?": 25 and 25% answer it alike, whichever of the two the gold answer is. That 0.25 is 25% is known
    # to math-verify.
    if _SPACES.sub("", _PERCENT.sub("", given)) == _SPACES.sub("", _PERCENT.sub("", wanted)):
        return True
    left, right = exact(given), exact(wanted)
    if left is not None and right is not None:
        return left == right or _rounded(given, left, right) or _near(left, right, tolerance)
    left, right = exact(_PERCENT.sub("", given)), exact(_PERCENT.sub("", wanted))
    if left is not None and right is not None and (left == right or _near(left, right, tolerance)):
        return True
    return _comparer().same(given, wanted, tolerance)


def _same_parts(given: Sequence[str], wanted: Sequence[str], tolerance: float | None) -> bool:
    """Whether several answers are the same ones, in any order."""
    if not 2 <= len(wanted) <= MAX_PARTS or len(given) != len(wanted):
        return False
    left = list(given)
    for gold in wanted:
        found = next((part for part in left if _same(part, gold, tolerance)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _near(given: Fraction, wanted: Fraction, tolerance: float | None) -> bool:
    return tolerance is not None and abs(given - wanted) <= Fraction(tolerance)


def _rounded(text: str, given: Fraction, wanted: Fraction) -> bool:
    """Whether a decimal tells a number that no decimal can tell, to so many digits that nothing else is meant."""
    digits = _SPACES.sub("", text).lstrip("+-0.").replace(".", "")
    _, point, behind = _SPACES.sub("", text).rpartition(".")
    if not point or len(digits) < ROUNDED_DIGITS or pow(10, 64, wanted.denominator) == 0:
        return False
    unit, off = Fraction(1, 10 ** len(behind)), abs(given - wanted)
    return off <= unit / 2 or (off < unit and abs(given) < abs(wanted))  # rounded, or cut off


def extract(text: str) -> str | None:
    """The final answer in a solution: the last box, else what follows `####` or "the answer is", else the last line's
    formula or the last line. None when there is no text at all."""
    boxed = _last_box(text)
    if boxed is not None:
        return boxed
    marked = re.findall(r"(?m)^####\s*(.+)$", text)
    if marked:
        return _bare(marked[-1]) or None
    said = list(_THE_ANSWER_IS.finditer(text))
    if said:
        return _first_claim(said[-1]["rest"])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    formulas = _FORMULA.findall(lines[-1])
    last = next(filter(None, formulas[-1])) if formulas else lines[-1]
    value = last.rpartition("=")[2] if re.search(r"(?<![<>!\\])=", last) else last
    return _bare(value) or None


def exact(text: str) -> Fraction | None:
    """The number that plain text tells (`-7`, `1,000`, `2.50`, `3/4`, `\\frac{3}{4}`), or None when it is no number."""
    text = _CURRENCY.sub(r"\1", _SPACES.sub("", text))
    if len(text) > _MAX_NUMBER_CHARS:
        return None
    if (match := _MIXED.fullmatch(text)) and (part := exact(match[3])) is not None and part < 1:
        return (int(match[2]) + part) * (-1 if match[1] else 1)
    if match := _FRACTION.fullmatch(text):
        sign, above, below = match[1], match[2] or match[4], match[3] or match[5]
        return _ratio(-int(above) if sign == "-" else int(above), int(below))
    if match := _RATIO.fullmatch(text):
        return _ratio(int(match[1]), int(match[2]))
    return Fraction(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def _ratio(above: int, below: int) -> Fraction | None:
    return Fraction(above, below) if below else None


def _bare(text: str) -> str:
    """Without the marks around a formula and the period behind it."""
    text, before = text.strip(), None
    while text != before:
        before = text
        text = text.removesuffix(".").strip() if not text.endswith("..") else text
        for opening, closing in _WRAPPERS:
            inside = text[len(opening) : -len(closing)]
            if text.startswith(opening) and text.endswith(closing) and inside and opening not in inside:
                text = inside.strip()
    return text


def _first_claim(rest: str) -> str | None:
    """`$7$ because …` → `7`; `12 apples. Then …` → `12 apples`."""
    formula = _FORMULA.match(rest.strip().lstrip("* "))
    if formula is not None:
        return str(next(filter(None, formula.groups()))).strip()
    return _bare(_SENTENCE_END.split(rest.strip(), maxsplit=1)[0]) or None


def _last_box(text: str) -> str | None:
    """What stands in the last complete \\boxed{…}, braces balanced."""
    for start in reversed([match.end() for match in re.finditer(r"\\f?boxed\s*\{", text)]):
        depth = 1
        for position in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0) if text[position - 1] != "\\" else 0
            if depth == 0:
                return text[start:position].strip()
    return None


class _Comparer:
    """math-verify in a child process, started when it is first needed and again after it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def same(self, given: str, wanted: str, tolerance: float | None = None) -> bool:
        with self._lock:
            try:
                child = self._running()
                question = {"given": given, "wanted": wanted, "tolerance": tolerance}
                return self._asked(child, question, SECONDS) == "yes"
            except (OSError, TimeoutError):
                self._end()
                return False

    def close(self) -> None:
        with self._lock:
            self._end()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self._end()
            command = [sys.executable, "-m", "evaluation.grading.child"]
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in os.environ}
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept
            )
            try:
                self._asked(self._child, None, START_SECONDS)
            except (OSError, TimeoutError) as error:
                self._end()
                raise GraderUnavailable("math-verify does not start", hint="run `make install`") from error
        return self._child

    def _asked(self, child: "subprocess.Popen[bytes]", question: dict[str, Any] | None, seconds: float) -> str:
        """The child's next line. Raises TimeoutError or OSError (its end included)."""
        assert child.stdin is not None
        assert child.stdout is not None
        if question is not None:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
        deadline, answer = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                piece = os.read(child.stdout.fileno(), 64)
                if not piece:
                    raise OSError("the comparing child ended")
                answer += piece
        return answer.decode().strip()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still buffered for a dead child
                    stream.close()
        child.wait()


@cache
def _comparer() -> _Comparer:
    comparer = _Comparer()
    atexit.register(comparer.close)
    return comparer
