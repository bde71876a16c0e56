"""`make bench-trace`: the trace page on a long session and a fast stream. Writes docs/results/trace-page.md.

Times are the browser's own performance entries. The navigator, the browser and this program share the machine, as
they do where somebody tries it at home. `--runs` and `--rate` choose how often and how fast.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from browser.house import FLAGS, chromium, open_house
from browser.long_sessions import STEPS
from browser.measuring import BUDGET_MS, Opening, Stream, followed, opened, quantile
from playwright.sync_api import sync_playwright

RESULT = Path(__file__).resolve().parents[2] / "docs" / "results" / "trace-page.md"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--runs", type=int, default=9, help="openings of each kind")
    asked.add_argument("--rate", type=int, default=500, help="events a second")
    asked.add_argument("--seconds", type=float, default=10.0, help="of the stream")
    args = asked.parse_args()
    found = chromium()
    if found is None:
        raise SystemExit("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, open_house(Path(folder)) as house, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=FLAGS)
        opened(browser, house)  # the first one warms the navigator and the browser up
        first = [opened(browser, house) for _ in range(args.runs)]
        again = [opened(browser, house, again=True) for _ in range(args.runs)]
        stream = followed(browser, house, rate=args.rate, seconds=args.seconds)
        report = written(str(browser.version), first, again, stream, args.rate)
        browser.close()
    RESULT.write_text(report, encoding="utf-8")
    print(report)


def written(version: str, first: list[Opening], again: list[Opening], stream: Stream, rate: int) -> str:
    late = sum(gap > 1.5 * BUDGET_MS for gap in stream.gaps)
    over = sum(work > BUDGET_MS for work in stream.work)
    return "\n".join(
        [
            "# The trace page on long sessions",
            "",
            f"Written by `make bench-trace`: Chromium {version}, headless, on {os.cpu_count()} cores "
            f"({platform.machine()}), shared with the navigator; load average {os.getloadavg()[0]:.1f} at the end.",
            "",
            f"**A session of {STEPS} steps ({first[0].events} events) opens**, from the navigation to the frame that "
            "shows what fits on the screen, and to the one that has every step and event:",
            "",
            "| | median | fastest | slowest | runs |",
            "| --- | ---: | ---: | ---: | ---: |",
            _row("the screen, never been there", [one.first for one in first]),
            _row("the screen, the page's files in the cache", [one.first for one in again]),
            _row("all of it, never been there", [one.whole for one in first]),
            _row("all of it, the page's files in the cache", [one.whole for one in again]),
            _row("processor time of the page's main thread", [one.busy for one in again]),
            "",
            f"**A stream of {rate} events/s for {stream.seconds:.0f} s** (one in ten a journal entry, the others live "
            f"text): {stream.shown} of {stream.events} entries shown.",
            "",
            "| | median | 95 % | 99 % | longest |",
            "| --- | ---: | ---: | ---: | ---: |",
            _quantiles("script in a frame", stream.work),
            _quantiles("from frame to frame", stream.gaps),
            "",
            f"Of {len(stream.work)} frames drawn, {over} took the script longer than the {BUDGET_MS:.1f} ms of a "
            f"frame; {late} of {len(stream.gaps)} gaps were longer than one and a half frames. "
            f"Tasks longer than 50 ms: {len(stream.long_tasks)}. The page's main thread used {stream.busy:.0f} ms of "
            f"processor time: {stream.busy / stream.seconds / 10:.0f} % of one core.",
            "",
        ]
    )


def _row(name: str, values: list[float]) -> str:
    numbers = " | ".join(f"{value:.0f} ms" for value in (quantile(values, 0.5), min(values), max(values)))
    return f"| {name} | {numbers} | {len(values)} |"


def _quantiles(name: str, values: list[Any]) -> str:
    return f"| {name} | " + " | ".join(f"{quantile(values, share):.1f} ms" for share in (0.5, 0.95, 0.99, 1.0)) + " |"


if __name__ == "__main__":
    main()
