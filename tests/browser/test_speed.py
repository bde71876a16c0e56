"""How fast the page opens a long session, and how it keeps up with a stream. Printed, not asserted: it depends on the
machine. What is asserted is that nothing is lost on the way."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from browser.house import House, viewed
from browser.long_sessions import LONG_ID, STEPS

OPENED = f"""
new MutationObserver((_, observer) => {{
  if (document.querySelectorAll(".step").length < {STEPS}) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => performance.mark("all-steps-painted")));
}}).observe(document, {{ childList: true, subtree: true }});
"""
FRAMES = """
window.frames_ = { spans: [], work: [], last: 0 };
const real = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => real((now) => {
  const begun = performance.now();
  draw(now);
  window.frames_.work.push(performance.now() - begun);
});
const tick = (now) => {
  if (window.frames_.last) window.frames_.spans.push(now - window.frames_.last);
  window.frames_.last = now;
  real(tick);
};
real(tick);
"""


def test_a_session_of_two_hundred_steps_opens(browser: Any, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    times = []
    for _ in range(5):
        with viewed(browser, house) as page:
            page.add_init_script(OPENED)
            page.goto(f"/sessions/{LONG_ID}")
            page.wait_for_function("() => performance.getEntriesByName('all-steps-painted').length")
            assert page.locator(".step").count() == STEPS
            assert page.locator(".event").count() == 3 * STEPS + 3
            times.append(page.evaluate("performance.getEntriesByName('all-steps-painted')[0].startTime"))
    with capsys.disabled():
        print(f"\n200 steps, 603 events: painted after {', '.join(f'{t:.0f}' for t in sorted(times))} ms (5 runs)")


def test_a_fast_stream_is_shown_as_it_comes(browser: Any, house: House, capsys: pytest.CaptureFixture[str]) -> None:
    rate, seconds = 500, 4
    session_id = uuid4().hex
    with viewed(browser, house) as page:
        page.add_init_script(FRAMES)
        page.goto("/")
        httpx.post(
            f"{house.url}/test/flood", json={"id": session_id, "rate": rate, "seconds": seconds}
        ).raise_for_status()
        page.goto(f"/sessions/{session_id}")
        page.locator("#answer").wait_for()
        spans, work = page.evaluate("[window.frames_.spans, window.frames_.work]")
        assert page.locator(".event").count() == house.session(session_id)["last_seq"]
    late = sum(span > 1000 / 30 for span in spans)
    with capsys.disabled():
        print(f"\n{rate} events/s for {seconds} s: {len(spans)} frames, {late} of them later than 33 ms")
        print(f"  from frame to frame: {quantiles(spans)}")
        print(f"  script in a frame:   {quantiles(work)}")


def quantiles(values: list[float]) -> str:
    ordered = sorted(values)
    median, p95 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    return f"median {median:.1f} ms, p95 {p95:.1f} ms, longest {ordered[-1]:.1f} ms"
