"""What the clients talk to, and where they are started."""

import os
from pathlib import Path

import pytest
from clients.installed import Workplace


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    """The navigator: the one at REASONFLUX_TEST_URL, else the embedded stack's."""
    if given := os.environ.get("REASONFLUX_TEST_URL"):
        return given.rstrip("/")
    return str(request.getfixturevalue("embedded").url("navigator"))


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    """The navigator's engine: the one at REASONFLUX_TEST_ENGINE_URL, else the embedded stack's."""
    if given := os.environ.get("REASONFLUX_TEST_ENGINE_URL"):
        return given.rstrip("/")
    return str(request.getfixturevalue("embedded").url("navigator_engine"))


@pytest.fixture
def workplace(url: str, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, url)
