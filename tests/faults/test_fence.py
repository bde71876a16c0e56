"""A worker that was stopped past its lease and woken again must not write; without the fence it does."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from navigator.errors import CommitConflict
from navigator.journal import RedisJournal
from navigator.journal.redis_journal import load_scripts
from navigator.ports import Claim
from reasonflux.contracts import Entry, Outcome, Problem, SessionFinished, SessionStarted

pytestmark = pytest.mark.redis

WORKER = Path(__file__).with_name("stalling_worker.py")
FENCE = "if held[2] ~= epoch then return {'lost'} end\n"
SOLVED = SessionFinished(outcome=Outcome.SOLVED, answer="2")


@contextmanager
def stalling_worker(url: str, prefix: str, unfenced: str | None) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **({"UNFENCED": unfenced} if unfenced else {})}
    command = [sys.executable, str(WORKER), url, prefix, "0.5"]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    )
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


async def stop_past_its_lease_and_wake(
    journal: RedisJournal, url: str, prefix: str, unfenced: str | None = None
) -> tuple[str, Claim, tuple[Entry, ...]]:
    """What the woken worker printed, the claim that replaced its own, and the journal after it was woken."""
    await journal.create("s", SessionStarted(problem=Problem(text="What is 1 + 1?")))
    with stalling_worker(url, prefix, unfenced) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert await asyncio.to_thread(worker.stdout.readline) == "claimed 1\n"
        worker.send_signal(signal.SIGSTOP)
        _, status = await asyncio.to_thread(os.waitpid, worker.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

        while (heir := await journal.claim("heir", 60)) is None:
            await journal.wake(10)
        worker.stdin.write("go\n")
        worker.send_signal(signal.SIGCONT)
        said = (await asyncio.to_thread(worker.stdout.readline)).strip()
        return said, heir, await journal.read("s")


@pytest.fixture
async def journal(redis_url: str, redis_prefix: str):
    journal = RedisJournal(redis_url, prefix=redis_prefix)
    yield journal
    await journal.close()


async def the_woken_worker_cannot_write(
    journal: RedisJournal, url: str, prefix: str, unfenced: str | None = None
) -> None:
    said, heir, entries = await stop_past_its_lease_and_wake(journal, url, prefix, unfenced)
    assert said == "LeaseLost"
    assert [entry.event.type for entry in entries] == ["session.started"]
    await journal.commit(heir, 2, [SOLVED])


async def test_a_worker_woken_past_its_lease_cannot_write(journal, redis_url: str, redis_prefix: str) -> None:
    await the_woken_worker_cannot_write(journal, redis_url, redis_prefix)


async def test_without_the_fence_the_same_check_fails(journal, redis_url: str, redis_prefix: str) -> None:
    with pytest.raises(AssertionError, match="LeaseLost"):
        await the_woken_worker_cannot_write(journal, redis_url, redis_prefix, commit_without_fence())


async def test_without_the_fence_the_woken_worker_writes_into_its_heirs_session(
    journal, redis_url: str, redis_prefix: str
) -> None:
    said, heir, entries = await stop_past_its_lease_and_wake(journal, redis_url, redis_prefix, commit_without_fence())
    assert said == "wrote"
    assert [entry.event.type for entry in entries] == ["session.started", "step.restarted"]
    with pytest.raises(CommitConflict):
        await journal.commit(heir, 2, [SOLVED])


def commit_without_fence() -> str:
    source = load_scripts()["commit"]
    assert source.count(FENCE) == 1
    return source.replace(FENCE, "")
