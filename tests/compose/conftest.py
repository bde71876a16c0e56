"""The compose stack, up once for a file of tests; the time that each phase took is printed at the end."""

from collections.abc import Iterator

import pytest
from composed import Composed, composed_stack, why_not

_phases: list[tuple[str, float]] = []


@pytest.fixture(scope="session")
def phases() -> list[tuple[str, float]]:
    return _phases


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, phases: list[tuple[str, float]]) -> Iterator[Composed]:
    if reason := why_not():
        pytest.skip(reason)
    with composed_stack(tmp_path_factory.mktemp("compose"), phases) as stack:
        yield stack


@pytest.fixture(scope="module")
def api_key(stack: Composed) -> str:
    """Made by the command that docs/deploy-compose.md names."""
    return stack.compose("exec", "-T", "navigator", "reasonflux", "keys", "create", "ladder").strip()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, seconds in _phases:
        terminalreporter.write_line(f"compose: {seconds:7.1f} s  {name}")
