"""What a run says while it goes: a line when a stage starts and ends, and a dated line in the training log.

A line of the log: `- 2026-11-21 tiny-cpu dpo.1: 1,204 pairs, held-out reward 0.71 → 0.83, 3.2 CPU-min`. A failed stage
has one too. The log is committed, so what goes into it is one line, and names no folders of the machine.
"""

import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

WHY_LENGTH = 240
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[\w.@+~-]+/){2,}(?=[\w.@+~-])")


@dataclass(frozen=True)
class Spent:
    """What a stage took. `cpu` counts this process and the children that have ended."""

    elapsed: float = 0.0
    cpu: float = 0.0

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.elapsed - other.elapsed, self.cpu - other.cpu)

    @property
    def cpu_minutes(self) -> float:
        return self.cpu / 60


def measured() -> Spent:
    """The clocks of this process, now."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Spent(time.monotonic(), sum(one.ru_utime + one.ru_stime for one in used))


def today() -> date:
    return datetime.now().astimezone().date()


def say(line: str) -> None:
    print(line, flush=True)


class Watch:
    """One stage as it runs; `outcome` is what it did, in half a line."""

    def __init__(self, meter: Callable[[], Spent]) -> None:
        self._meter, self._begun = meter, meter()
        self.outcome: str | None = None

    @property
    def spent(self) -> Spent:
        return self._meter() - self._begun


class Progress:
    """Tells one run's stages to the terminal and to the log.

    run: its name, as the log tells it. log: the file that the lines are appended to; None keeps none.
    """

    def __init__(
        self,
        run: str,
        log: Path | None = None,
        *,
        tell: Callable[[str], None] = say,
        meter: Callable[[], Spent] = measured,
        day: Callable[[], date] = today,
    ) -> None:
        self._run, self._log = run, log
        self._tell, self._meter, self._day = tell, meter, day

    def passed_over(self, stage: str, place: str) -> None:
        """A stage that is done already. The log has its line."""
        self._tell(f"[{place}] {stage}: done before")

    @contextmanager
    def stage(self, stage: str, place: str, why: str, *, resumed: bool = False) -> Iterator[Watch]:
        """Watch a stage. Whatever it raises is written down and goes on."""
        self._tell(f"[{place}] {stage} starts: {why}")
        watch = Watch(self._meter)
        try:
            yield watch
        except KeyboardInterrupt:
            self._end(stage, place, watch, "stopped by hand", resumed)
            raise
        except BaseException as error:  # SystemExit too: the log keeps every failure
            self._end(stage, place, watch, f"failed: {reason_of(error)}", resumed)
            raise
        self._end(stage, place, watch, watch.outcome or "done", resumed)

    def note(self, stage: str, text: str) -> None:
        """Append a line to the log."""
        if self._log is not None:
            append(self._log, f"- {self._day():%Y-%m-%d} {self._run} {stage}: {one_line(text)}")

    def _end(self, stage: str, place: str, watch: Watch, outcome: str, resumed: bool) -> None:
        spent = watch.spent
        cost = f"{spent.cpu_minutes:.1f} CPU-min" + (" since it went on" if resumed else "")
        self._tell(f"[{place}] {stage}: {outcome} ({elapsed(spent.elapsed)}, {cost})")
        self.note(stage, f"{outcome}, {cost}")


def append(log: Path, line: str) -> None:
    """Add a line in one write, so that the lines of two runs do not mix."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = log.read_text() if log.exists() else ""
    last = before.rstrip().rpartition("\n")[2]
    gap = "" if before.endswith("\n") or not before else "\n"
    if last and not re.match(r"- \d{4}-\d\d-\d\d ", last):
        gap += "\n"  # the lines are a list of their own
    with log.open("a") as file:
        file.write(f"{gap}{line}\n")


def reason_of(error: BaseException) -> str:
    """Why it failed: the error's own words, with its class where those say little."""
    words = str(error).strip()
    return words if type(error).__module__.startswith("reasonflux") and words else f"{type(error).__name__} {words}"


def one_line(text: str) -> str:
    """The text without line breaks and without the folders of this machine, not too long."""
    flat = _ABSOLUTE.sub("…/", " ".join(text.split()))
    return flat if len(flat) <= WHY_LENGTH else flat[: WHY_LENGTH - 1] + "…"


def elapsed(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
