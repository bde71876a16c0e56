"""A long session is shown whole, and a fast stream without a gap. How fast: `make bench-trace`."""

from typing import Any

from browser.house import House
from browser.long_sessions import STEPS
from browser.measuring import followed, opened


def test_a_session_of_two_hundred_steps_opens_whole(browser: Any, house: House) -> None:
    opening = opened(browser, house)
    assert (opening.steps, opening.events) == (STEPS, 3 * STEPS + 3)


def test_five_hundred_events_a_second_are_shown_to_the_last(browser: Any, house: House) -> None:
    stream = followed(browser, house, rate=500, seconds=2)
    assert stream.shown == stream.events
    assert stream.work, "it was drawn while it ran"
