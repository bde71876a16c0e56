"""A real navigator process on scripted minds, and pages that look at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 60.0
FLAGS = ["--no-sandbox"] if os.geteuid() == 0 else []
"""Chromium refuses its sandbox to root, which is who tests are in a container."""


def chromium() -> str | None:
    """Where a Chromium is, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass(frozen=True)
class House:
    """A navigator process."""

    url: str

    def ask(self, problem: str, **fields: Any) -> str:
        """Start a session; its id."""
        body = {"problem": problem, **fields}
        return str(httpx.post(f"{self.url}/v1/sessions", json=body).raise_for_status().json()["id"])

    def solved(self, problem: str, **fields: Any) -> str:
        """A session that has ended; its id."""
        session_id = self.ask(problem, **fields)
        stream = {"Accept": "text/event-stream"}
        httpx.get(f"{self.url}/v1/sessions/{session_id}/events", headers=stream, timeout=60).raise_for_status()
        return session_id

    def session(self, session_id: str) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/v1/sessions/{session_id}").raise_for_status().json())


@contextmanager
def open_house(folder: Path, **environment: str) -> Iterator[House]:
    """The navigator of `minds.py`, until the caller is done with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REASONFLUX_")}
    command = [sys.executable, "-m", "uvicorn", "browser.minds:create", "--factory", "--port", str(port)]
    with (folder / "navigator.log").open("wb") as log:
        env = {**inherited, "PYTHONPATH": str(TESTS), **environment}
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "navigator.log").read_text())
            time.sleep(0.1)
        yield House(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def viewed(browser: Any, house: House, **asked: Any) -> Iterator[Any]:
    """A page in a context of its own; at the end nothing must have gone wrong in it."""
    complaints: list[str] = []
    context = browser.new_context(**{"base_url": house.url, "viewport": {"width": 1280, "height": 900}, **asked})
    page = context.new_page()
    page.set_default_timeout(45_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    try:
        yield page
    finally:
        context.close()
    assert not complaints, complaints
