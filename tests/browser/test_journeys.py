"""What a person does with the trace page, in a real browser."""

import json
import re
from typing import Any

import httpx
import pytest
from browser.house import House, viewed
from browser.stories import BRANCHES, CHANGE, LONG, PACED, SERIES, SLOW

PHONE = {"width": 360, "height": 740}


def events_of(house: House, session_id: str) -> list[dict[str, Any]]:
    page = httpx.get(f"{house.url}/v1/sessions/{session_id}/events", params={"limit": 1000}).json()
    return list(page["entries"])


def at_session(page: Any) -> str:
    """The id in the page's address, once it shows a session."""
    page.wait_for_url(re.compile(r"/sessions/[^/]+$"))
    return str(page.url.rpartition("/")[2])


def ends(page: Any) -> None:
    page.locator("#answer").wait_for()


def test_a_problem_is_asked_and_watched_until_its_answer(view: Any) -> None:
    view.goto("/")
    view.get_by_label("The problem").fill(BRANCHES.problem)
    view.get_by_role("button", name="Solve", exact=True).click()
    at_session(view)
    ends(view)
    assert view.locator("#answer .found").inner_text() == "9"
    assert view.locator(".node").count() == 4
    assert view.locator(".edge").count() == 3
    assert view.locator("#step-3 .step-result").inner_text().endswith("3120")
    assert view.locator("#step-3 .sums li").first.inner_text().split() == [
        "last",
        "=",
        "first",
        "+",
        "(n",
        "-",
        "1)*diff",
        "→",
        "270",
    ]


def test_text_streams_while_a_step_is_under_way(view: Any, house: House) -> None:
    view.goto(f"/sessions/{house.ask(SLOW.problem)}")
    view.locator("#step-1 .writing").wait_for()
    assert view.locator("#step-1").get_attribute("data-phase") == "busy"
    view.get_by_role("button", name="Cancel").click()
    ends(view)


def test_a_session_is_cancelled_in_the_middle(view: Any, house: House) -> None:
    session_id = house.ask(SLOW.problem)
    view.goto(f"/sessions/{session_id}")
    view.locator("#step-1 .writing").wait_for()
    view.get_by_role("button", name="Cancel").click()
    ends(view)
    assert "was cancelled" in view.locator("#answer").inner_text()
    assert house.session(session_id)["outcome"] == "cancelled"


def test_a_reload_in_the_middle_loses_nothing(view: Any, house: House) -> None:
    session_id = house.ask(PACED.problem)
    view.goto(f"/sessions/{session_id}")
    view.locator("#step-1 .step-result").wait_for()
    view.reload()
    ends(view)
    assert view.locator("#answer .found").inner_text() == "820"
    assert view.locator(".event").count() == len(events_of(house, session_id))
    assert folded(view, house, session_id) == house.session(session_id)


def folded(page: Any, house: House, session_id: str) -> Any:
    """What the page's own fold makes of the journal, in the browser."""
    program = "async ([id, entries]) => (await import('/web/fold.js')).fold(id, entries)"
    return page.evaluate(program, [session_id, events_of(house, session_id)])


@pytest.mark.parametrize("story", [SERIES, BRANCHES, CHANGE], ids=["series", "branches", "change"])
def test_the_page_folds_a_journal_to_the_servers_session(view: Any, house: House, story: Any) -> None:
    session_id = house.solved(story.problem)
    view.goto(f"/sessions/{session_id}")
    assert folded(view, house, session_id) == house.session(session_id)


def test_a_change_of_plan_shows_what_was_struck_out_what_came_instead_and_why(view: Any, house: House) -> None:
    view.goto(f"/sessions/{house.solved(CHANGE.problem)}")
    change = view.locator(".revision")
    change.wait_for()
    assert change.locator("del").all_inner_texts() == [
        "2. Square the first number",
        "3. Square the second number",
        "4. Add the two squares",
    ]
    assert change.locator("ins").all_inner_texts() == ["5. Use the identity for the sum of squares"]
    assert "neither is needed" in change.inner_text()
    change.locator("math").wait_for()
    assert view.locator("#step-2").get_attribute("data-phase") == "dropped"


def test_a_session_is_replayed_event_by_event_back_and_forth(view: Any, house: House) -> None:
    session_id = house.solved(CHANGE.problem)
    last = len(events_of(house, session_id))
    view.goto(f"/sessions/{session_id}")
    ends(view)
    view.locator(".event button").nth(1).click()
    assert view.url.endswith("?at=2")
    view.locator("#answer").wait_for(state="detached")
    assert view.locator(".node[data-phase=dropped]").count() == 0
    view.keyboard.press("End")
    ends(view)
    view.keyboard.press("[")
    view.wait_for_url(f"**?at={last - 1}")
    view.get_by_role("slider", name="Event").fill("3")
    view.wait_for_url("**?at=3")
    view.reload()
    view.get_by_text(f"Event 3 of {last}").wait_for()
    view.go_back()


def test_the_replay_tells_what_the_navigator_knew_when_it_decided(view: Any, house: House) -> None:
    session_id = house.solved(CHANGE.problem)
    revised = next(
        e["seq"] for e in events_of(house, session_id) if e["event"].get("review", {}).get("verdict") == "revise"
    )
    view.goto(f"/sessions/{session_id}?at={revised}")
    view.get_by_role("button", name="What did it know?").click()
    view.locator(".replay-exchange .message").first.wait_for()
    prompt = view.locator(".replay-exchange .message").all_inner_texts()
    assert "You are the navigator" in prompt[0]
    assert "Result: r1 = 9" in prompt[-2]
    assert '"verdict": "revise"' in prompt[-1]


def test_a_step_shows_its_evidence(view: Any, house: House) -> None:
    view.goto(f"/sessions/{house.solved(SERIES.problem)}")
    step = view.locator("#step-2")
    step.get_by_role("button", name="Evidence").click()
    assert "chosen" in step.locator(".candidates tr.chosen").inner_text()
    step.locator(".given").wait_for()
    assert step.locator(".given dt").all_inner_texts() == ["s1", "s2"]
    step.locator("span.use").first.hover()
    assert step.locator("span.use").first.get_attribute("title") == SERIES.problem.split(". ")[0] + "."
    assert "20*(3 + 79)/2" in step.locator(".card-steps").inner_text()
    cached = step.locator(".ledger tr[data-role=executor] td").nth(3).inner_text()
    assert cached == "96 (58 %)"
    step.locator(".ledger tr[data-role=executor]").get_by_role("button").click()
    assert "goal: Find the sum of the terms" in step.locator(".exchange").inner_text()


def test_two_sessions_are_compared_step_by_step(view: Any, house: House) -> None:
    left, right = house.solved(SERIES.problem), house.solved(SERIES.problem, retrieve=False)
    view.goto("/sessions")
    view.locator(".session-row input").nth(0).check()
    view.locator(".session-row input").nth(1).check()
    view.get_by_role("button", name="Compare these two").click()
    view.locator(".pair").nth(1).wait_for()
    assert set(view.url.split("/")[-2:]) == {left, right}
    assert "without" in view.locator(".differences").inner_text()
    assert view.locator(".pair.parted").count() == 2
    assert view.locator(".pair .differs").first.is_visible()


def test_a_problem_is_solved_another_way_and_compared(view: Any, house: House) -> None:
    view.goto(f"/sessions/{house.solved(SERIES.problem)}")
    view.get_by_text("Solve it another way and compare").click()
    view.get_by_label("reviews").uncheck()
    view.get_by_role("button", name="Solve and compare").click()
    view.wait_for_url("**/compare/*/*")
    view.locator(".side .short-answer").nth(1).wait_for()
    assert "Reviews" in view.locator(".differences").inner_text()


def test_the_same_problem_goes_to_another_engine(view: Any, house: House) -> None:
    offered = [{"id": name, "reasonflux": {"engine": name}} for name in ("default", "large")]
    view.route("**/v1/models", lambda route: route.fulfill(json={"data": offered}))
    view.goto(f"/sessions/{house.solved(SERIES.problem)}")
    view.get_by_text("Solve it another way and compare").click()
    view.get_by_label("engine").select_option("large")
    view.route("**/v1/sessions", lambda route: route.fulfill(json={"id": "other"}))
    view.route("**/v1/sessions/other/**", lambda route: route.fulfill(json={"entries": [], "finished": True}))
    with view.expect_request("**/v1/sessions") as asked:
        view.get_by_role("button", name="Solve and compare").click()
    assert (asked.value.post_data_json["engine"], asked.value.post_data_json["problem"]) == ("large", SERIES.problem)
    view.wait_for_url("**/compare/*/other")


def test_a_follow_up_goes_on_from_the_answer(view: Any, house: House) -> None:
    first = house.solved(SERIES.problem)
    view.goto(f"/sessions/{first}")
    view.get_by_label("Ask a follow-up").fill("And the sum of the first 20 terms of the same sequence again?")
    view.get_by_role("button", name="Ask", exact=True).click()
    view.get_by_text("Follows up").wait_for()
    ends(view)
    assert house.session(at_session(view))["parent"] == first
    assert view.locator(".turn-asked").inner_text() == SERIES.problem


def test_the_library_is_searched_filtered_and_read(view: Any, house: House) -> None:
    house.solved(SERIES.problem)
    view.goto("/library/math")
    view.get_by_label("Search the library").fill("sum of an arithmetic series")
    view.locator(".template-row.best").wait_for()
    assert view.url.endswith("?q=sum+of+an+arithmetic+series")
    view.get_by_label("Search the library").fill("")
    view.locator(".filter button", has_text=re.compile(r"^algebra")).click()
    assert "field=algebra" in view.url
    view.get_by_label("Order").select_option("use")
    view.locator(".template-row", has_text="stood").first.wait_for()
    view.locator(".template-row .template-name").first.click()
    view.get_by_text("Sessions that followed it").wait_for()
    view.locator(".session-row").first.wait_for()
    assert view.locator(".changes li").count() == 1


def test_everything_works_from_the_keyboard(view: Any, house: House) -> None:
    view.goto("/")
    view.get_by_label("The problem").wait_for()
    view.keyboard.press("/")
    view.keyboard.type(SERIES.problem)
    view.keyboard.press("Control+Enter")
    session_id = at_session(view)
    ends(view)
    view.keyboard.press("j")
    view.keyboard.press("j")
    assert view.evaluate("document.activeElement.id") == "step-2"
    view.keyboard.press("o")
    view.locator("#step-2 .evidence").wait_for()
    view.keyboard.press("[")
    view.wait_for_url("**?at=*")
    view.keyboard.press("End")
    view.wait_for_url(f"**/{session_id}")
    view.evaluate("scrollTo(0, document.body.scrollHeight)")
    view.keyboard.press("?")
    view.get_by_text("one event back, one event on").wait_for()
    assert view.get_by_text("one event back, one event on").bounding_box()["y"] > 0, "help is seen wherever one is"
    view.keyboard.press("Escape")
    reached = tabbed(view, 60)
    for wanted in ("ReasonFlux", "Sessions", "Replay", "Compare", "Share", "prompt", "Evidence"):
        assert any(wanted in name for name in reached), (wanted, reached)


def tabbed(page: Any, times: int) -> list[str]:
    """What one comes by with the Tab key from the top."""
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    names = []
    for _ in range(times):
        page.keyboard.press("Tab")
        names.append(str(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''")))
    return names


def test_nothing_sticks_out_on_a_phone(browser: Any, house: House) -> None:
    change, long = house.solved(CHANGE.problem), house.solved(LONG.problem)
    with viewed(browser, house, viewport=PHONE) as page:
        for path in (
            f"/sessions/{change}",
            f"/sessions/{change}?at=5",
            f"/sessions/{long}",
            f"/sessions/{long}/solution",
            f"/compare/{change}/{long}",
            "/",
            "/sessions",
            "/library/math",
            "/library/math/arithmetic-series-sum",
        ):
            page.goto(path)
            page.locator("h1").wait_for()
            for toggle in page.get_by_role("button", name="Evidence").all()[:1]:
                toggle.click()
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_a_session_is_kept_as_json_and_as_markdown(view: Any, house: House) -> None:
    session_id = house.solved(CHANGE.problem)
    view.goto(f"/sessions/{session_id}")
    kept = {}
    for name in ("Save as JSON", "Save as Markdown"):
        if not view.get_by_role("button", name=name).is_visible():
            view.get_by_role("button", name="Share").click()
        with view.expect_download() as download:
            view.get_by_role("button", name=name).click()
        kept[name] = download.value.path().read_text()
    assert json.loads(kept["Save as JSON"])["entries"] == events_of(house, session_id)
    assert "~~2. Square the first number~~" in kept["Save as Markdown"]
    assert "**106**" in kept["Save as Markdown"]


def test_a_worked_solution_can_be_printed(view: Any, house: House) -> None:
    view.goto(f"/sessions/{house.solved(CHANGE.problem)}/solution")
    view.locator(".conclusion").wait_for()
    assert view.locator(".conclusion").inner_text() == "The answer is 106."
    assert "Square the first number" not in view.locator(".solution").inner_text()
    view.emulate_media(media="print")
    assert not view.locator(".bar").is_visible()
    assert len(view.pdf()) > 1000


def test_a_deployment_with_keys_asks_for_one_and_forgets_it_with_the_tab(browser: Any, locked_house: House) -> None:
    made = httpx.post(f"{locked_house.url}/test/key", json={"scopes": ["read", "solve"]}).json()["key"]
    context = browser.new_context(base_url=locked_house.url)
    page = context.new_page()
    page.set_default_timeout(45_000)
    page.goto("/")
    page.get_by_label("The problem").fill(SERIES.problem)  # and it is still there when the key has been given
    page.get_by_role("textbox", name="API key").fill(made)
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("button", name="Solve", exact=True).click()
    ends(page)
    page.get_by_role("button", name="Evidence").first.click()
    page.locator(".ledger button").first.click()
    assert "may not see prompts" in page.locator(".evidence [role=alert]").inner_text()
    assert page.evaluate("[localStorage, sessionStorage].flatMap(Object.values).join()").find(made) == -1
    assert not context.cookies()
    context.close()


def test_a_session_that_is_not_there_says_so(browser: Any, house: House) -> None:
    page = browser.new_context(base_url=house.url).new_page()
    page.goto("/sessions/nobody")
    page.get_by_role("alert").wait_for()
    assert "no session" in page.get_by_role("alert").inner_text().lower()
    page.context.close()
