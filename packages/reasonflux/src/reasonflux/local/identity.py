"""Which process is ours: by pid and birth, never by name. A pid that the system gave away again is not ours."""

import os
import signal
import subprocess
import sys
from pathlib import Path

STACK_VARIABLE = "REASONFLUX_STACK"
"""Every child, and whatever it starts, carries the stack's id in this environment variable."""

_PROC = Path("/proc")


def birth(pid: int) -> str | None:
    """When the process started, exact and unique together with the pid; None when it is gone (or a zombie)."""
    if sys.platform != "linux":
        return _birth_elsewhere(pid)
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return f"{_boot_id()}:{fields[19]}"


def signal_group(pid: int, born: str, stack: str, number: signal.Signals) -> bool:
    """Send a signal to the process and its group; False when nothing of it is left (nothing was sent then).

    When the leader is gone, members of its group that carry the stack's id are still ours.
    """
    if birth(pid) == born:
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return False
        return True
    members = _members(pid, stack)
    for member in members:
        try:
            os.kill(member, number)
        except ProcessLookupError:
            continue
    return bool(members)


def group_alive(pid: int, born: str, stack: str) -> bool:
    """Whether the process, or any that it started in its group, still runs."""
    return birth(pid) == born or bool(_members(pid, stack))


def _members(group: int, stack: str) -> list[int]:
    if sys.platform != "linux":
        return []
    found = []
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        fields = _stat(pid)
        if fields is None or fields[0] in "ZX" or int(fields[2]) != group:
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{STACK_VARIABLE}={stack}".encode() in environment:
            found.append(pid)
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (the name before it may contain anything)."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _birth_elsewhere(pid: int) -> str | None:
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = said.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
