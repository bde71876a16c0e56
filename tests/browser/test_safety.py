"""Text from people, models and templates is text; and everybody can read the page."""

from typing import Any

import pytest
from browser.house import House, viewed
from browser.payloads import HOSTILE
from browser.stories import BRANCHES, CHANGE, EVIL, LONG

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def evil(house: House) -> str:
    return house.solved(EVIL.problem)


def test_none_of_fifty_payloads_runs_wherever_it_stands(view: Any, house: House, evil: str) -> None:
    assert len(set(HOSTILE)) == 50
    requested: list[str] = []
    view.on("request", lambda request: requested.append(request.url))
    pages = (
        f"/sessions/{evil}",
        f"/sessions/{evil}?at=3",
        f"/sessions/{evil}/solution",
        f"/compare/{evil}/{evil}",
        "/sessions",
        "/library/math?tag=" + "%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E",
        "/library/math/hostile",
        "/",
    )
    for path in pages:
        view.goto(path)
        view.locator("h1").wait_for()
        for button in view.get_by_role("button", name="Evidence").all():
            button.click()
        for button in view.get_by_role("button", name="prompt").all():
            button.click()
        view.wait_for_load_state("networkidle")
        assert view.evaluate("window.pwned") is None, path
        assert (
            view.locator("script:not([src^='/web/']), iframe, object, embed, img, form[action], base").count() == 0
        ), path
        assert (
            view.locator("[href^='javascript:'], [onerror], [onload], [onmouseover], [style*=expression]").count() == 0
        )
        shown = view.locator("main").inner_text()
        if path == f"/sessions/{evil}":
            assert all(
                " ".join(text.split()) in " ".join(shown.split())
                for text in HOSTILE
                if "$" not in text and "\\" not in text
            )
    assert all(url.startswith((house.url, "blob:")) for url in requested), requested


def test_a_payload_that_is_handed_to_a_sink_is_stopped_by_the_policy(browser: Any, house: House) -> None:
    """Were a view to write markup one day, the browser would refuse it."""
    context = browser.new_context(base_url=house.url)
    page = context.new_page()
    page.goto("/")
    page.locator("h1").wait_for()
    add = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.pwned=1>')"
    refused = page.add_script_tag  # an inline script is refused as well
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate(f"() => {{ {add} }}")
    with pytest.raises(Exception, match=r"Content Security Policy|content security policy|script-src|TrustedScript"):
        refused(content="window.pwned = 1")
    assert page.evaluate("window.pwned") is None
    context.close()


def test_axe_finds_nothing_to_mend_in_light_and_dark(browser: Any, house: House) -> None:
    """Every rule in light; in dark, where only colours are others, those of colour."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python: make install"
    )
    change, branches, long = (house.solved(story.problem) for story in (CHANGE, BRANCHES, LONG))
    paths = (
        "/",
        "/sessions",
        f"/sessions/{change}",
        f"/sessions/{branches}?at=5",
        f"/sessions/{long}/solution",
        f"/compare/{branches}/{change}",
        "/compare",
        "/library/math?q=quadratic",
        "/library/math/arithmetic-series-sum",
    )
    with viewed(browser, house, color_scheme="light", reduced_motion="reduce") as page:
        for path in paths:
            page.goto(path)
            page.locator("h1").wait_for()
            for toggle in page.get_by_role("button", name="Evidence").all()[:2]:
                toggle.click()
            for toggle in page.get_by_role("button", name="prompt").all()[:2]:
                toggle.click()
            page.wait_for_load_state("networkidle")
            for scheme, rules in (("light", AXE), ("dark", COLOURS)):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                found = axe.Axe().run(page, options=rules)
                assert found.violations_count == 0, f"{path} in {scheme}\n{found.generate_report()}"
            page.emulate_media(color_scheme="light", reduced_motion="reduce")


def test_who_wants_less_motion_gets_none(browser: Any, house: House) -> None:
    with viewed(browser, house, reduced_motion="reduce") as page:
        page.goto(f"/sessions/{house.solved(BRANCHES.problem)}")
        page.locator("#answer").wait_for()
        assert page.evaluate("document.getAnimations().length") == 0
