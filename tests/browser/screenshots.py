"""`make screenshots`: the pictures in docs/images, taken of a navigator on scripted minds."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from browser.house import FLAGS, House, chromium, open_house, viewed
from browser.stories import BRANCHES, CHANGE, SERIES
from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
MOST_BYTES = 150_000
DESK = {"viewport": {"width": 1280, "height": 860}, "device_scale_factor": 1.5}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}


@dataclass(frozen=True)
class Picture:
    """One picture: what to open, how, and what to do before it is taken."""

    name: str
    path: str
    waits_for: str
    browser: dict[str, Any] = field(default_factory=lambda: dict(DESK))
    prepare: Callable[[Any], object] = lambda page: None


def pictures(house: House) -> list[Picture]:
    branches, change = house.solved(BRANCHES.problem), house.solved(CHANGE.problem)
    alone = house.solved(BRANCHES.problem, retrieve=False, review=False)
    house.solved(SERIES.problem)
    return [
        Picture("session-light", f"/sessions/{branches}", "#answer"),
        Picture("session-dark", f"/sessions/{branches}", "#answer", {**DESK, "color_scheme": "dark"}),
        Picture("evidence", f"/sessions/{branches}", "#answer", prepare=_evidence),
        Picture("plan-change", f"/sessions/{change}", ".revision math"),
        Picture("replay", f"/sessions/{change}?at=5", ".replay", prepare=_replay),
        Picture("comparison", f"/compare/{branches}/{alone}", ".pair"),
        Picture("library", "/library/math?q=sum+of+an+arithmetic+series", ".template-row.best"),
        Picture("phone", f"/sessions/{branches}", "#answer", PHONE),
    ]


def _evidence(page: Any) -> None:
    page.locator("#step-3 .evidence-toggle").click()
    page.locator("#step-3 .candidates").wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, document.querySelector('#step-3').offsetTop - 64)")


def _replay(page: Any) -> None:
    page.get_by_role("button", name="What did it know?").click()
    page.locator(".replay-exchange .message").first.wait_for()
    page.evaluate("document.querySelector('.replay-exchange').scrollTop = 1e6")


def main() -> None:
    found = chromium()
    if found is None:
        raise SystemExit("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_house(Path(folder)) as house, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=FLAGS)
        for picture in pictures(house):
            with viewed(browser, house, **{"reduced_motion": "reduce", **picture.browser}) as page:
                page.goto(picture.path)
                page.locator(picture.waits_for).first.wait_for()
                picture.prepare(page)
                page.wait_for_load_state("networkidle")
                print(kept(picture.name, page.screenshot()))
        browser.close()


def kept(name: str, screenshot: bytes) -> str:
    """As WebP, at the best quality that is small enough."""
    image = Image.open(BytesIO(screenshot)).convert("RGB")
    for quality in (88, 80, 70, 60):
        packed = BytesIO()
        image.save(packed, "WEBP", quality=quality, method=6)
        if packed.tell() < MOST_BYTES:
            break
    path = FOLDER / f"{name}.webp"
    path.write_bytes(packed.getvalue())
    return f"{path.name}: {image.width}×{image.height}, {packed.tell() // 1000} kB"


if __name__ == "__main__":
    main()
