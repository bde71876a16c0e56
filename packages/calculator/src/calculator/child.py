"""The child process: limits itself, then answers requests line by line until its input ends.

A request is a JSON line {"statements": […], "names": {…}}; the answer is one JSON line per calculation and then an
empty line. Started as `python -m calculator.child` by `calculator.process`; it trusts nothing it reads, and the parent
trusts nothing it writes.
"""

import json
import os
import resource
import signal
import sys

from calculator.evaluation import calculations
from calculator.seal import seal

MEMORY_BYTES = 1 << 30
CPU_SECONDS_PER_REQUEST = 10
OPEN_FILES = 16

# What no calculation needs. The gate lets nothing through that could ask for it; this stands behind the gate.
_FORBIDDEN_EVENTS = ("subprocess.", "os.", "socket.", "shutil.", "ctypes.", "pty.", "signal.", "webbrowser.", "urllib.")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
    """Warm up, lock down, serve."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends our input
    _warm_up()
    _lock_down()
    answers.write("\n")
    answers.flush()
    for line in requests:
        _allow_cpu_time()
        request = json.loads(line)
        for calculation in calculations(request["statements"], request["names"]):
            answers.write(calculation.model_dump_json() + "\n")
            answers.flush()
        answers.write("\n")
        answers.flush()


def _warm_up() -> None:
    """Everything that SymPy imports late is imported now, while files may still be opened freely."""
    statements = [
        "sqrt(3 + 2*sqrt(2)) + 1/(1 + sqrt(2))",
        "log(8, 4) + ln(6)/ln(2)",
        "ln(6) == ln(2) + ln(3)",
        "sin(pi/5) + acos(1/2) + exp(2)",
        "floor(root(10, 3)*pi)",
        "totient(1009*1013)",
        "is_prime(10**15 + 37)",
        "near(solve(x**2 - 2, x, 0, 2), sqrt(2))",
        "integral(sin(x), x, 0, pi) + derivative(ln(x), x, 2)",
    ]
    for statement in statements:
        for _ in calculations([statement], {}):
            pass


def _lock_down() -> None:
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    seal()
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    writes = event == "open" and isinstance(args[2], int) and bool(args[2] & _WRITING)
    if writes or (event.startswith(_FORBIDDEN_EVENTS) and event not in ("os.listdir", "os.scandir")):
        os._exit(99)


def _allow_cpu_time() -> None:
    """Limits count from the start of the process: give this request its own share."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS_PER_REQUEST
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
