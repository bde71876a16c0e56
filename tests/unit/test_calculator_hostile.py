"""Hostile text ends in a typed error, here and in the jailed child, and nothing in it is ever executed."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

from calculator import Calculator, CalculatorUnavailable, evaluate_in_process
from calculator.process import bubblewrap
from reasonflux.contracts import Calculation, FailureKind


def _expressions() -> ModuleType:
    path = Path(__file__).with_name("hostile_expressions.py")
    spec = importlib.util.spec_from_file_location("hostile_expressions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOSTILE: list[str] = _expressions().HOSTILE
IDS = [f"{number}-{text[:20]!a}" for number, text in enumerate(HOSTILE)]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def calculator() -> AsyncIterator[Calculator]:
    async with Calculator(processes=1) as running:
        yield running


def written(expression: str, canary: Path) -> str:
    return expression.replace("{canary}", str(canary)).replace("{{", "{").replace("}}", "}")


def assert_refused(calculation: Calculation) -> None:
    assert calculation.value is None
    assert calculation.error is not None
    assert calculation.error.kind is FailureKind.CALCULATION_ERROR
    assert calculation.error.message


def test_there_are_at_least_a_hundred_distinct_hostile_expressions() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 100


@pytest.mark.parametrize("expression", HOSTILE, ids=IDS)
def test_a_hostile_expression_is_a_typed_error_in_process(expression: str, canary: Path) -> None:
    (calculation,) = evaluate_in_process([written(expression, canary)])
    assert_refused(calculation)
    assert not canary.exists()


@pytest.mark.parametrize("expression", HOSTILE, ids=IDS)
def test_a_hostile_value_of_a_name_is_a_typed_error(expression: str, canary: Path) -> None:
    (calculation,) = evaluate_in_process(["1"], {"x": written(expression, canary)})
    assert_refused(calculation)
    assert not canary.exists()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("expression", HOSTILE, ids=IDS)
async def test_a_hostile_expression_is_a_typed_error_in_the_child(
    calculator: Calculator, expression: str, canary: Path
) -> None:
    (calculation,) = await calculator.evaluate([written(expression, canary)])
    assert_refused(calculation)
    assert not os.path.exists(canary)  # noqa: ASYNC240
    (sane,) = await calculator.evaluate(["20 + 22"])
    assert sane.value == "42"


SLOW = "sum(sum(powmod(3, 10**2000, 10**600 + k), k, 1, 60), j, 1, 60)"


async def test_a_child_that_hangs_is_killed_and_replaced() -> None:
    async with Calculator(processes=1, timeout=0.3) as calculator:
        done = await calculator.evaluate(["1 + 1", SLOW, "3"])
        assert [c.value for c in done] == ["2", None]
        assert done[1].statement == SLOW
        assert_refused(done[1])
        assert (await calculator.evaluate(["2 + 2"]))[0].value == "4"


async def test_a_child_that_dies_is_replaced() -> None:
    async with Calculator(processes=1) as calculator:
        (task,) = calculator._children
        task.result()._process.kill()
        assert_refused((await calculator.evaluate(["1"]))[0])
        assert (await calculator.evaluate(["2 + 2"]))[0].value == "4"


async def test_a_cancelled_evaluation_does_not_answer_the_next_one() -> None:
    async with Calculator(processes=1, timeout=30) as calculator:
        slow = asyncio.create_task(calculator.evaluate([SLOW]))
        await asyncio.sleep(0)  # lets it take the child and send the question
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert (await calculator.evaluate(["2 + 2"]))[0].value == "4"


async def test_it_fails_closed_when_no_child_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    calculator = Calculator(processes=1, jail=False)
    with pytest.raises(CalculatorUnavailable):
        await calculator.start()
    with pytest.raises(CalculatorUnavailable):
        await calculator.evaluate(["1"])


async def test_a_child_that_lies_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = tmp_path / "python"
    liar.write_text('#!/bin/sh\necho\nread line\necho \'{"statement": "other", "value": "666"}\'\necho\nread line\n')
    liar.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(liar))
    async with Calculator(processes=1, jail=False) as calculator:
        assert_refused((await calculator.evaluate(["1"]))[0])


def test_a_bubblewrap_that_does_not_work_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap() == []


async def test_a_bubblewrap_that_works_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = tmp_path / "bwrap"
    passes.write_text('#!/bin/sh\nwhile [ "$1" != --chdir ]; do shift; done; shift 2\nexec "$@"\n')
    passes.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with Calculator(processes=1) as calculator:
        assert calculator.jailed
        assert (await calculator.evaluate(["2 + 2"]))[0].value == "4"


@pytest.mark.parametrize(
    "deed",
    [
        "open('canary', 'w')",
        "os.open('canary', os.O_CREAT)",
        "os.system('touch canary')",
        "subprocess.run(['touch', 'canary'])",
        "os.fork()",
        "os.execv('/bin/touch', ['touch', 'canary'])",
        "os.unlink('witness')",
        "socket.socket()",
    ],
)
def test_behind_the_gate_the_locked_child_dies_rather_than_act(deed: str, tmp_path: Path) -> None:
    (tmp_path / "witness").touch()
    code = f"import os, socket, subprocess; from calculator import child; child._lock_down(); {deed}; print('alive')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (99, "")
    assert [path.name for path in tmp_path.iterdir()] == ["witness"]


async def test_the_childs_resources_are_limited() -> None:
    async with Calculator(processes=1, jail=False) as calculator:
        await calculator.evaluate(["1"])
        (task,) = calculator._children
        limits = Path(f"/proc/{task.result()._process.pid}/limits").read_text()  # noqa: ASYNC240
    soft = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()[1:]}
    assert soft["Max address space"] == str(1 << 30)
    assert (soft["Max file size"], soft["Max processes"], soft["Max core file size"]) == ("0", "0", "0")
    assert int(soft["Max open files"]) <= 16
    assert int(soft["Max cpu time"]) < 60
