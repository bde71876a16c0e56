"""The trace page as the navigator serves it, and its fold, held to the server's."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from contract.test_navigator_api import VIETA, finished, solving, start

from navigator import web
from navigator.testing import on_fakes, opened, plan, review, script, step
from reasonflux.contracts import ErrorBody, FailureKind

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9"}
MODULES = sorted(web.FILES.rglob("*.js"))
FOLDING = """
import {{ fold }} from {module};
const told = JSON.parse(await new Promise((done) => {{
  let text = ""; process.stdin.on("data", (part) => text += part).on("end", () => done(text));
}}));
console.log(JSON.stringify(fold(told.id, told.entries)));
"""


@pytest.mark.parametrize("path", ["/", "/sessions/s-1", "/compare", "/library/math"])
async def test_every_path_of_the_page_is_the_page_under_a_strict_policy(path: str) -> None:
    async with opened(solving()) as client:
        answer = await client.get(path, headers=BROWSER)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_programs_that_ask_at_the_root_are_told_where_the_documentation_is() -> None:
    async with opened(solving()) as client:
        answer = await client.get("/", headers={"Accept": "application/json"})
    assert answer.json()["docs"] == "/docs"


async def test_all_that_the_page_loads_is_served_by_the_navigator_itself() -> None:
    html = (web.FILES / "index.html").read_text()
    loaded = re.findall(r'(?:href|src)="([^"#]+)"', html)
    async with opened(solving()) as client:
        for path in loaded:
            answer = await client.get(path)
            assert answer.status_code == 200, path
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", html), "the policy lets in nothing inline"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_import_only_files_that_are_there_and_write_no_markup(module: Path) -> None:
    text = module.read_text()
    for imported in re.findall(r'(?:from|import)\s+"([^"]+)"', text):
        target = web.FILES / imported.removeprefix("/web/") if imported.startswith("/") else module.parent / imported
        assert target.is_file(), imported
    assert not re.search(r"\.(innerHTML|outerHTML)\s*=|insertAdjacentHTML|document\.write|\beval\(", text) or (
        module.name == "formulas.js"  # the one trusted-types policy: MathML that the server made
    )


def revised() -> Any:
    first = plan(step("find the parts", "s1"), step("add them up", "r1", template="Adding up"))
    other = review("revise", "the parts are known", steps=[step("add them up", "s1", "s2")])
    return on_fakes(script([first], [other, review("finish", "it adds up", answer="r3")]), lambda _: "7")


@pytest.mark.parametrize("app", [lambda: solving(templates=[VIETA]), revised], ids=["solved", "revised"])
async def test_the_browsers_fold_tells_the_same_session_as_the_servers(app: Any) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: it runs the page's fold")
    async with opened(app()) as client:
        created = (await start(client)).json()
        await finished(client, created["id"])
        session = (await client.get(f"/v1/sessions/{created['id']}")).json()
        page = (await client.get(f"/v1/sessions/{created['id']}/events")).json()
    entries = page.get("entries") or page["events"]
    folded = folded_by_node(node, {"id": session["id"], "entries": entries})
    assert folded == session


def folded_by_node(node: str, told: dict[str, Any]) -> dict[str, Any]:
    program = FOLDING.format(module=json.dumps((web.FILES / "fold.js").as_uri()))
    command = [node, "--input-type=module", "-e", program]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    folded: dict[str, Any] = json.loads(done.stdout)
    return folded


async def test_a_session_can_be_had_as_a_worked_solution() -> None:
    async with opened(solving(templates=[VIETA])) as client:
        created = (await start(client)).json()
        await finished(client, created["id"])
        worked = await client.get(f"/v1/sessions/{created['id']}/markdown")
        missing = await client.get("/v1/sessions/nobody/markdown")
    assert worked.headers["content-type"].startswith("text/markdown")
    assert "add them up" in worked.text
    assert "7" in worked.text
    assert ErrorBody.model_validate_json(missing.content).error.type == FailureKind.NOT_FOUND
