"""How fast the page opens a long session and keeps up with a stream, by the browser's own clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from browser.house import House, viewed
from browser.long_sessions import LONG_ID, STEPS

BUDGET_MS = 1000 / 60
"""Of a frame: what the page's script may take of it before one is dropped."""

_OPENED = f"""
new MutationObserver((_, observer) => {{
  const steps = document.querySelectorAll(".step").length;
  const painted = (name) => requestAnimationFrame(() => setTimeout(() => performance.mark(name)));
  if (steps && !window.stepsSeen) painted("first-steps-painted");
  window.stepsSeen ||= steps;
  if (steps < {STEPS}) return;
  observer.disconnect();
  painted("all-steps-painted");
}}).observe(document, {{ childList: true, subtree: true }});
"""

_FOLLOWED = """
window.watched = { gaps: [], work: [], tasks: [], last: 0 };
new PerformanceObserver((list) => watched.tasks.push(...list.getEntries().map(({ duration }) => duration)))
  .observe({ type: "longtask" });
const real = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => real((now) => {
  performance.mark("draw");
  draw(now);
  watched.work.push(performance.measure("drawn", "draw").duration);
});
const tick = (now) => {
  if (watched.last) watched.gaps.push(now - watched.last);
  watched.last = now;
  real(tick);
};
real(tick);
"""


_MARK = "(name) => performance.getEntriesByName(name)[0].startTime"


@dataclass(frozen=True)
class Opening:
    """One opening of the session of two hundred steps, in milliseconds since the navigation began."""

    first: float
    """To the frame with the problem, the plan and the steps that fit on the screen."""
    whole: float
    """To the frame with all steps and all events."""
    busy: float
    """Processor time of the page's main thread: what it takes wherever nobody else wants the processor."""
    steps: int
    events: int


@dataclass(frozen=True)
class Stream:
    """One stream, as it was followed."""

    events: int
    shown: int
    """Journal entries in the page's list at the end."""
    seconds: float
    gaps: list[float]
    """Milliseconds from frame to frame, while it ran."""
    work: list[float]
    """Milliseconds of the page's script in each frame that it drew in."""
    long_tasks: list[float]
    """Of more than 50 ms, as the browser reports them."""
    busy: float
    """Processor time of the page's main thread in the whole of it."""


def opened(browser: Any, house: House, *, again: bool = False) -> Opening:
    """`again`: the page's files are in the browser's cache already, as they are for who has been there before."""
    with viewed(browser, house) as page:
        if again:
            page.goto(f"/sessions/{LONG_ID}")
            page.locator(".step").last.wait_for(state="attached")
            page.goto("about:blank")
        page.add_init_script(_OPENED)
        spent = stopwatch(page)
        page.goto(f"/sessions/{LONG_ID}")
        page.wait_for_function("() => performance.getEntriesByName('all-steps-painted').length")
        first, whole = (page.evaluate(_MARK, name) for name in ("first-steps-painted", "all-steps-painted"))
        return Opening(first, whole, spent(), page.locator(".step").count(), page.locator(".event").count())


def followed(browser: Any, house: House, *, rate: int, seconds: float) -> Stream:
    """A session whose events come at `rate` a second: one in ten is a journal entry, the others are live text."""
    session_id = uuid4().hex
    with viewed(browser, house) as page:
        page.add_init_script(_FOLLOWED)
        page.goto("/")
        page.locator("h1").wait_for()
        flood = {"id": session_id, "rate": rate, "seconds": seconds}
        httpx.post(f"{house.url}/test/flood", json=flood).raise_for_status()
        page.goto(f"/sessions/{session_id}")
        page.locator(".step").first.wait_for()
        page.evaluate("Object.assign(watched, { gaps: [], work: [], tasks: [] })")
        spent = stopwatch(page)
        httpx.post(f"{house.url}/test/flood/{session_id}/go").raise_for_status()
        page.locator("#answer").wait_for()
        busy = spent()
        gaps, work, tasks = page.evaluate("[watched.gaps, watched.work, watched.tasks]")
        shown = page.locator(".event").count()
    entries = int(house.session(session_id)["last_seq"])
    return Stream(entries, shown, seconds, gaps, work, tasks, busy)


def stopwatch(page: Any) -> Callable[[], float]:
    """Milliseconds of processor time that the page's main thread has used since."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def used() -> float:
        told = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration")) * 1000

    begun = used()
    return lambda: used() - begun


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
