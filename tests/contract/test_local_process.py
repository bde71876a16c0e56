"""Real child processes: started, watched, reported and stopped; nothing else is ever touched."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reasonflux.local import record
from reasonflux.local.errors import AlreadyRunning, Crashed, PortTaken, TooSlow
from reasonflux.local.identity import birth, group_alive
from reasonflux.local.preflight import check_ports, this_machine
from reasonflux.local.process import Stack, Stage, stop
from reasonflux.local.record import Record, Running
from reasonflux.local.stack import HttpHealth, Process

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
WITH_CHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);" + SERVER
)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def child(code: str, port: int, name: str = "one", after: tuple[str, ...] = (), patience: float = 30.0) -> Process:
    return Process(
        name=name,
        title=f"process {name}",
        command=(sys.executable, "-c", code, str(port)),
        health=HttpHealth(f"http://127.0.0.1:{port}/"),
        url=f"http://127.0.0.1:{port}",
        port=port,
        port_setting="REASONFLUX_ONE_PORT",
        after=after,
        hint="look at it",
        patience=patience,
    )


async def test_a_process_is_ready_recorded_and_gone_after_stop(tmp_path: Path, port: int) -> None:
    stack = Stack(tmp_path / "run", [child(SERVER, port)])
    started = await stack.start()
    assert stack.progress["one"].stage is Stage.READY
    assert record.read(tmp_path / "run") == started
    (running,) = started.alive
    assert os.getpgid(running.pid) == running.pid
    await stack.stop()
    assert started.alive == ()
    assert record.read(tmp_path / "run") is None


async def test_a_stack_is_stopped_by_its_record_alone_with_all_that_it_started(tmp_path: Path, port: int) -> None:
    stack = Stack(tmp_path / "run", [child(WITH_CHILD, port)])
    await stack.start()
    found = record.read(tmp_path / "run")
    assert found is not None
    stopped = await stop(tmp_path / "run", found)
    assert [process.name for process in stopped] == ["one"]
    assert not group_alive(found.processes[0].pid, found.processes[0].born, found.stack)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found through /proc")
async def test_orphans_of_a_killed_process_are_stopped_too(tmp_path: Path, port: int) -> None:
    stack = Stack(tmp_path / "run", [child(WITH_CHILD, port)])
    started = await stack.start()
    (running,) = started.processes
    os.kill(running.pid, signal.SIGKILL)
    with pytest.raises(Crashed, match="was killed by SIGKILL"):
        await asyncio.wait_for(stack.watch(), 30)
    assert birth(running.pid) is None
    assert started.alive == (running,)
    await stack.stop()
    assert started.alive == ()


async def test_a_crash_is_reported_with_the_cause_the_last_lines_and_a_hint(tmp_path: Path, port: int) -> None:
    code = "print('about to fail'); raise ValueError('the reason')"
    stack = Stack(tmp_path / "run", [child(code, port)])
    with pytest.raises(Crashed) as raised:
        await stack.start()
    assert "process one ended with exit code 1: ValueError: the reason" in raised.value.failure.message
    assert "about to fail" in raised.value.log
    assert "look at it" in (raised.value.failure.hint or "")


async def test_when_one_crashes_the_others_are_stopped(tmp_path: Path, port: int) -> None:
    bad = child("import sys; sys.exit(3)", 1, name="two", after=("one",))
    stack = Stack(tmp_path / "run", [child(SERVER, port), bad])
    with pytest.raises(Crashed, match="process two ended with exit code 3"):
        await stack.start()
    check_ports([child(SERVER, port)], "127.0.0.1", this_machine())
    assert record.read(tmp_path / "run") is None


async def test_a_process_that_never_answers_is_too_slow(tmp_path: Path, port: int) -> None:
    stack = Stack(tmp_path / "run", [child("import time; time.sleep(600)", port, patience=0.2)])
    with pytest.raises(TooSlow, match="not ready within"):
        await stack.start()


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path, port: int) -> None:
    stack = Stack(tmp_path / "run", [child(SERVER, port), child("import time; time.sleep(600)", 1, name="two")])
    start = asyncio.create_task(stack.start())
    while stack.progress["one"].stage is not Stage.READY:  # noqa: ASYNC110 - progress is read, not announced
        await asyncio.sleep(0.01)
    found = record.read(tmp_path / "run")
    assert found is not None
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert found.alive == ()


async def test_a_pid_that_was_given_to_another_process_is_left_alone(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    stale = Running(name="old", title="old", pid=bystander.pid, born="another birth", url="", log=tmp_path / "log")
    stack = Record(stack="nobody's", processes=(stale,))
    assert await stop(tmp_path, stack) == ()
    assert bystander.poll() is None


async def test_members_of_a_foreign_group_are_left_alone(tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """The leader is gone and its number was used again, so that the group holds somebody else's processes."""
    born = birth(bystander.pid)
    assert born is not None
    assert not group_alive(bystander.pid, "another birth", "our stack")
    assert group_alive(bystander.pid, born, "our stack")


def test_a_taken_port_names_the_process_that_holds_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = child(SERVER, holder.getsockname()[1])
        expected = f"process {os.getpid()}" if sys.platform == "linux" else "another process"
        with pytest.raises(PortTaken, match=expected):
            check_ports([taken], "127.0.0.1", this_machine())


def test_two_commands_cannot_start_in_one_folder_at_once(tmp_path: Path) -> None:
    with record.starting(tmp_path), pytest.raises(AlreadyRunning), record.starting(tmp_path):
        raise AssertionError("both hold the folder")


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{half")
    assert record.read(tmp_path) is None


async def test_a_program_that_does_not_exist_is_a_sentence(tmp_path: Path, port: int) -> None:
    from dataclasses import replace

    from reasonflux.local.errors import LocalError

    missing = replace(child(SERVER, port), command=("/nowhere/program",))
    with pytest.raises(LocalError, match="cannot be started"):
        await Stack(tmp_path / "run", [missing]).start()
