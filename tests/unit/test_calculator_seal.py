"""The calculator's child has no network and starts no program, by a filter in the kernel that needs no privilege."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from calculator import Calculator
from calculator.seal import seal

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"},
    reason="the filter is made for Linux on x86-64 and arm64",
)

CALLS = {
    "socket": "libc.socket(2, 1, 0)",
    "socketpair": "libc.socketpair(1, 1, 0, ctypes.create_string_buffer(8))",
    "connect": "libc.connect(0, 0, 0)",
    "io_uring_setup": "libc.syscall(425, 1, 0)",
    "execve": "libc.execve(b'/bin/true', 0, 0)",
    "execveat": "libc.syscall({'x86_64': 322, 'aarch64': 281}[platform.machine()], -100, b'/bin/true', 0, 0, 0)",
    "ptrace": "libc.ptrace(16, 1, 0, 0)",
}


def in_a_sealed_process(code: str) -> str:
    """Asked of the kernel itself, past everything that Python could stop."""
    given = "import ctypes, os, platform; from calculator.seal import seal; libc = ctypes.CDLL(None, use_errno=True)"
    program = f"{given}; {code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("call", CALLS)
def test_a_sealed_process_is_refused_the_call(call: str) -> None:
    said = in_a_sealed_process(f"seal(); print({CALLS[call]}, ctypes.get_errno())")
    assert said == "-1 1", "EPERM, whatever the arguments"


def test_without_the_seal_the_same_call_is_answered() -> None:
    assert not in_a_sealed_process(f"print({CALLS['socket']})").startswith("-1")


def test_what_the_process_has_open_still_works() -> None:
    assert (
        in_a_sealed_process("r, w = os.pipe(); seal(); os.write(w, b'answer'); print(os.read(r, 6).decode())")
        == "answer"
    )


async def test_every_child_of_the_calculator_is_sealed_also_without_bubblewrap() -> None:
    async with Calculator(processes=1, jail=False) as calculator:
        assert (await calculator.evaluate(["integral(x**2, x, 0, 3)"]))[0].value == "9"
        (task,) = calculator._children
        status = Path(f"/proc/{task.result()._process.pid}/status").read_text()  # noqa: ASYNC240
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status


def test_another_platform_is_not_sealed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not seal()
