"""The calculator as others use it: child processes that are warm, limited, and replaced when they misbehave."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from calculator.limits import MAX_CHARS
from calculator.metrics import Evaluated
from reasonflux.contracts import Calculation, Failure, FailureKind
from reasonflux.errors import ServiceUnavailable

START_SECONDS = 60.0
_NO_NAMES: Mapping[str, str] = {}


class CalculatorUnavailable(ServiceUnavailable):
    """No calculator process can be started; nothing is evaluated anywhere else instead."""


class Calculator:
    """Evaluates statements in child processes under rlimits, and inside bubblewrap where that works.

    processes: how many evaluations run at once. timeout: seconds of wall time for one evaluation; a child that takes
    longer is killed and replaced. jail: False leaves bubblewrap out even where it works. observe: hears how each
    evaluation ended, and its seconds. Use as an async context manager, or call `start` and `close`.
    """

    def __init__(
        self,
        *,
        processes: int = 2,
        timeout: float = 3.0,
        jail: bool = True,
        observe: Callable[[Evaluated, float], None] | None = None,
    ) -> None:
        self._timeout = timeout
        self._size = processes
        self._jail = jail
        self._observe = observe
        self._command: list[str] = []
        self._free: asyncio.Queue[asyncio.Task[_Child]] = asyncio.Queue()
        self._children: set[asyncio.Task[_Child]] = set()
        self.jailed = False
        """Whether the children run inside bubblewrap; known after `start`."""

    async def start(self) -> None:
        """Start and warm the children. Raises CalculatorUnavailable when they do not come up."""
        prefix = await asyncio.to_thread(bubblewrap) if self._jail else []
        self.jailed = bool(prefix)
        self._command = [*prefix, sys.executable, "-I", "-m", "calculator.child"]
        children = [self._spawn() for _ in range(self._size)]
        try:
            await asyncio.gather(*children)
        except BaseException:
            await self.close()
            raise
        for child in children:
            self._free.put_nowait(child)

    async def close(self) -> None:
        """Kill the children and wait until they are gone."""
        children, self._children = self._children, set()
        for task in children:
            task.cancel()
        for outcome in await asyncio.gather(*children, return_exceptions=True):
            if isinstance(outcome, _Child):
                await outcome.kill()
        self._free = asyncio.Queue()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] = _NO_NAMES
    ) -> tuple[Calculation, ...]:
        """Evaluate in order; see `evaluate_in_process` for the language of statements and names.

        Never raises for bad input: the first error is the last calculation returned. Raises CalculatorUnavailable when
        there is no child to do it.
        """
        started = time.perf_counter()
        outcome, values = await self._evaluate(statements, names)
        if self._observe is not None:
            self._observe(outcome, time.perf_counter() - started)
        return values

    async def _evaluate(
        self, statements: Sequence[str], names: Mapping[str, str]
    ) -> tuple[Evaluated, tuple[Calculation, ...]]:
        if not self._children:
            raise CalculatorUnavailable("the calculator is not running", hint="await its start() first")
        task = await self._free.get()
        child: _Child | None = None
        try:
            child = await asyncio.shield(task)
            return await self._ask(child, [_cut(s) for s in statements], {_cut(n): _cut(v) for n, v in names.items()})
        except BaseException:
            # Whatever it was, cancellation included, this child's next line would belong to the wrong request.
            if child is not None:
                child.broken = True
            raise
        finally:
            self._free.put_nowait(self._sound(task, child))

    async def _ask(
        self, child: "_Child", statements: list[str], names: dict[str, str]
    ) -> tuple[Evaluated, tuple[Calculation, ...]]:
        outcome: Evaluated
        done: list[Calculation] = []
        try:
            async with asyncio.timeout(self._timeout):
                await child.send({"statements": statements, "names": names})
                while (line := await child.line()) is not None:
                    done.append(_read(line, len(done), statements))
            return "error" if done and done[-1].error else "value", tuple(done)
        except TimeoutError:
            outcome = "timeout"
            message = f"the calculation took longer than {self._timeout:g} seconds"
        except (OSError, EOFError, ValueError):
            outcome = "crashed"
            message = "the calculation was stopped because it needed too much time or memory"
        child.broken = True
        failed = statements[len(done)] if len(done) < len(statements) else "names"
        failure = Failure(
            kind=FailureKind.CALCULATION_ERROR, message=message, hint="use smaller numbers or a closed form"
        )
        return outcome, (*done, Calculation(statement=failed, error=failure))

    def _sound(self, task: "asyncio.Task[_Child]", child: "_Child | None") -> "asyncio.Task[_Child]":
        """The same child if it can go on; else a new one, already starting."""
        never_started = task.done() and child is None
        if not self._children or not (never_started or (child is not None and child.broken)):
            return task
        self._children.discard(task)
        return self._spawn(instead_of=child)

    def _spawn(self, instead_of: "_Child | None" = None) -> "asyncio.Task[_Child]":
        task = asyncio.create_task(_Child.start(self._command, instead_of))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is raised to whoever waits
        self._children.add(task)
        return task


class _Child:
    """One process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.broken = False

    @classmethod
    async def start(cls, command: list[str], instead_of: "_Child | None" = None) -> "_Child":
        if instead_of is not None:
            await instead_of.kill()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
            )
        except OSError as error:
            raise CalculatorUnavailable(f"the calculator process cannot be started: {error}") from error
        child = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await child.line()
        except (TimeoutError, EOFError, OSError) as error:
            await child.kill()
            raise CalculatorUnavailable("the calculator process ended or hung while it started") from error
        except BaseException:
            await child.kill()
            raise
        return child

    async def send(self, request: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()

    async def line(self) -> bytes | None:
        """The next line of the answer; None at its end. EOFError when the process has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the calculator process ended")
        return line if line.strip() else None

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _cut(text: str) -> str:
    """Too long stays too long (and is refused by the gate), but is not carried around; lone surrogates cannot be."""
    return text[: MAX_CHARS + 1].encode("utf-8", "replace").decode()


def _read(line: bytes, index: int, statements: list[str]) -> Calculation:
    """A child's line, checked as if an attacker had written it. ValueError when it is not the expected calculation."""
    calculation = Calculation.model_validate_json(line)
    if calculation.error is None and (index >= len(statements) or calculation.statement != statements[index]):
        raise ValueError("the answer belongs to no statement")
    return calculation


def bubblewrap() -> list[str]:
    """The command prefix that jails a process: no network, nothing writable, own pids. [] where it does not work."""
    program = shutil.which("bwrap")
    if program is None:
        return []
    prefix = [
        *(program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--chdir", "/"),
    ]
    try:
        trial = subprocess.run([*prefix, sys.executable, "-I", "-c", ""], capture_output=True, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return prefix if trial.returncode == 0 else []
