"""The child process that compares formulas with math-verify; started as `python -m evaluation.grading.child`.

A question is a JSON line {"given": …, "wanted": …, "tolerance": …}, the answer is a line `yes` or `no`. math-verify's
own timeouts need the main thread's signals; here they are off, and the parent kills this process instead.
"""

import json
import logging
import os
import re
import resource
import signal
import sys
from typing import Any

import sympy
import sympy.parsing.sympy_parser as sympy_parser
from math_verify import parse, verify
from math_verify.parser import LatexExtractionConfig

from evaluation.grading.notation import variants

_NUMBER = re.compile(r"(?P<kind>Integer|Float) \(\s*'?(?P<digits>[\d.]+(?:e[+-]?\d{1,3})?)'?\s*\)")
MEMORY_BYTES = 2 << 30
# Only the LaTeX grammar reads answers: math-verify's other reader ends in `parse_expr`, which is `eval`.
_LATEX = (LatexExtractionConfig(boxed_match_priority=-1),)
_WARM_UP = (
    ("x^2 + 2x + 1", "(x + 1)^2"),
    (r"\sin^2 x + \cos^2 x + \log_2 8", r"\frac{y}{2} + \sqrt{3}"),
    (r"(1, 2] \cup \{3\}", r"x^2 + y"),
    ("x < 2", r"(-\infty, 2)"),
)
_FORBIDDEN_EVENTS = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "socket.",
    "ctypes.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
    """Warm up (SymPy imports late, and some of its modules read strings of their own), lock down, serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends our input
    logging.disable(logging.CRITICAL)
    for given, wanted in _WARM_UP:
        same(given, wanted)
    lock_down()
    print(flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            right = same(question["given"], question["wanted"], question["tolerance"])
        except Exception:  # whatever hostile text makes of a parser: it is not the gold answer
            right = False
        print("yes" if right else "no", flush=True)


def same(given: str, wanted: str, tolerance: float | None = None) -> bool:
    """Whether the two formulas are equal in any of the notations they may be written in, or numbers that are near."""
    golds = [gold for gold in map(_parsed, variants(wanted)) if gold]
    return any(
        bool(verify(gold, answer, timeout_seconds=None, strict=True, allow_set_relation_comp=True))
        or (tolerance is not None and _near(gold[0], answer[0], tolerance))
        for answer in map(_parsed, variants(given))
        if answer
        for gold in golds
    )


def _near(one: Any, other: Any, tolerance: float) -> bool:
    numbers = all(isinstance(value, sympy.Expr) and value.is_number for value in (one, other))
    return numbers and bool(abs(sympy.N(one - other)) <= tolerance)


def lock_down() -> None:
    """No evaluation of strings as Python, no processes, no network, no files written: nothing here needs them."""
    sympy_parser.eval_expr = _number  # SymPy's own runs Python, even for `Number("2")`
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse)


def _parsed(text: str) -> list[Any]:
    found: list[Any] = parse(f"${text}$", extraction_config=_LATEX, parsing_timeout=None)
    return found


def _number(code: str, *_: object) -> Any:
    """What SymPy may make of a string: a number."""
    match = _NUMBER.fullmatch(code.strip())
    if match is None:
        raise ValueError("only numbers are read from strings here")
    return getattr(sympy, match["kind"])(match["digits"])


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    writes = event == "open" and isinstance(args[2], int) and bool(args[2] & _WRITING)
    if writes or event.startswith(_FORBIDDEN_EVENTS):
        os._exit(99)


if __name__ == "__main__":
    main()
