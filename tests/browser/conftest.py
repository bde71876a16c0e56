"""A real Chromium for a real navigator process on scripted minds."""

from collections.abc import Iterator
from typing import Any

import pytest
from browser.house import FLAGS, House, chromium, open_house, viewed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Closed at the end of each module: its event loop would be in the way of the tests that have their own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: make install")
    found = chromium()
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=found, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture(scope="session")
def locked_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that asks for keys."""
    with open_house(tmp_path_factory.mktemp("locked"), REASONFLUX_ACCESS="keys") as opened:
        yield opened


@pytest.fixture
def view(browser: Any, house: House) -> Iterator[Any]:
    """A page of its own, wide and light. What the page's script or the policy complains of fails the test."""
    with viewed(browser, house) as page:
        yield page
