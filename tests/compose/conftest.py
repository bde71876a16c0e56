"""The compose stack, built and started once for this folder; the time that each phase took is printed at the end."""

from collections.abc import Iterator

import pytest
from composed import Composed, composed_stack, why_not

_phases: list[tuple[str, float]] = []


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if reason := why_not():
        pytest.skip(reason)
    with composed_stack(tmp_path_factory.mktemp("compose"), _phases) as stack:
        yield stack


@pytest.fixture(scope="session")
def api_key(stack: Composed) -> str:
    """Made by the command that docs/deploy.md names."""
    return stack.compose("exec", "-T", "navigator", "reasonflux", "keys", "create", "ladder").strip()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, seconds in _phases:
        terminalreporter.write_line(f"compose: {seconds:7.1f} s  {name}")
