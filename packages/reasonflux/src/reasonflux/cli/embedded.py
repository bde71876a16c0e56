"""`up`, `down` and `status`: the embedded stack, and how its start looks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

import httpx
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from reasonflux.local import record
from reasonflux.local.errors import AlreadyRunning
from reasonflux.local.preflight import check_ports, examine, this_machine
from reasonflux.local.process import Progress, Stack, Stage, stop, unready
from reasonflux.local.record import Record
from reasonflux.local.settings import LocalSettings
from reasonflux.local.stack import HttpHealth, plan

NEWS_SECONDS = 10.0
"""Without a terminal, a line at least this often while something starts."""

_STYLES = {Stage.WAITING: "dim", Stage.STARTING: "yellow", Stage.READY: "green"}


async def start(console: Console, settings: LocalSettings) -> Stack:
    """Examine the machine, then start the stack with its progress shown. Raises LocalError; nothing is left behind."""
    with record.starting(settings.run_dir):
        left = record.read(settings.run_dir)
        if left and left.alive:
            names = ", ".join(process.name for process in left.alive)
            raise AlreadyRunning(
                f"parts of a stack still run in {settings.run_dir}: {names}", hint="stop them with `make down` first"
            )
        machine = this_machine()
        processes = plan(settings, examine(settings, machine))
        check_ports(processes, settings.host, machine)
        stack = Stack(settings.run_dir, processes)
        began = time.monotonic()
        async with _shown(console, stack.progress):
            await stack.start()
        console.print(f"[green]✓[/] the stack is up after {time.monotonic() - began:.1f} s")
    return stack


async def running(settings: LocalSettings) -> Record | None:
    """The stack of this folder when all of it is alive and its navigator is ready, else None."""
    found = record.read(settings.run_dir)
    if found is None or len(found.alive) < len(found.processes):
        return None
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        return found if await _ready(http, found.url("navigator")) else None


async def bring_up(console: Console) -> int:
    """`up`."""
    settings = LocalSettings()
    found = await running(settings)
    if found is not None:
        console.print("the stack is already up")
    else:
        await start(console, settings)
        found = record.read(settings.run_dir)
    assert found is not None
    urls = Table(box=None, show_header=False)
    for process in found.processes:
        urls.add_row(process.title, process.url)
    console.print(urls)
    console.print(
        f"logs: {settings.run_dir}\ntry:  {found.url('navigator')} in a browser, or .venv/bin/reasonflux solve '…'\n"
        "stop: make down (or .venv/bin/reasonflux down)",
        soft_wrap=True,
    )
    return 0


async def take_down(console: Console) -> int:
    """`down`."""
    run_dir = LocalSettings().run_dir
    with record.starting(run_dir):
        found = record.read(run_dir)
        stopped = await stop(run_dir, found) if found else ()
    for process in reversed(stopped):
        console.print(f"stopped {process.title} (process {process.pid})")
    if not stopped:
        console.print(f"nothing to stop: no stack was started from {run_dir.parent}")
    return 0


async def show_status(console: Console) -> int:
    """`status`."""
    settings = LocalSettings()
    found = record.read(settings.run_dir)
    if found is None:
        console.print(f"no stack was started from {settings.home.absolute()}")
        return 1
    table = Table("", "process", "state", "URL", box=None)
    fine = True
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        for process in found.processes:
            alive = process.alive(found.stack)
            ready = alive and (process.url.startswith("redis") or await _ready(http, process.url))
            state = Text("ready", "green") if ready else Text("not ready", "yellow") if alive else Text("ended", "red")
            fine = fine and ready
            table.add_row(process.title, str(process.pid), state, process.url)
    console.print(table)
    console.print(f"logs: {settings.run_dir}", soft_wrap=True)
    return 0 if fine else 1


async def _ready(http: httpx.AsyncClient, url: str | None) -> bool:
    """An engine's URL ends in /v1 and answers /health; a service answers /readyz."""
    if url is None:
        return False
    probe = url.removesuffix("/v1") + "/health" if url.endswith("/v1") else f"{url}/readyz"
    return await unready(HttpHealth(probe), http) is None


@contextlib.asynccontextmanager
async def _shown(console: Console, progress: Mapping[str, Progress]) -> AsyncIterator[None]:
    """Show the progress while the body runs: a live table on a terminal, else a line for every change."""
    if not console.is_terminal:
        teller = asyncio.create_task(_tell(console, progress))
        try:
            yield
        finally:
            teller.cancel()
        _tell_ready(console, progress)
        return
    spinner = Spinner("dots")
    with Live(console=console, get_renderable=lambda: _table(progress, spinner), refresh_per_second=8):
        yield


def _table(progress: Mapping[str, Progress], spinner: Spinner) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for shown in progress.values():
        mark = {Stage.WAITING: Text("·", "dim"), Stage.READY: Text("✓", "green")}.get(shown.stage, spinner)
        seconds = f"{shown.seconds:5.1f} s" if shown.stage is not Stage.WAITING else ""
        table.add_row(mark, shown.title, seconds, Text(shown.detail, _STYLES[shown.stage]))
    return table


async def _tell(console: Console, progress: Mapping[str, Progress]) -> None:
    told: dict[str, str] = {}
    last = time.monotonic()
    while True:
        for name, shown in progress.items():
            if shown.stage is not Stage.WAITING and told.get(name) != shown.detail:
                told[name], last = shown.detail, time.monotonic()
                console.print(f"{shown.seconds:5.1f} s  {shown.title}: {shown.detail}", soft_wrap=True)
        if time.monotonic() - last > NEWS_SECONDS:
            last = time.monotonic()
            waiting = [shown for shown in progress.values() if shown.stage is Stage.STARTING]
            for shown in waiting:
                console.print(f"{shown.seconds:5.1f} s  {shown.title}: still {shown.detail}", soft_wrap=True)
        await asyncio.sleep(0.2)


def _tell_ready(console: Console, progress: Mapping[str, Progress]) -> None:
    for shown in progress.values():
        console.print(f"  ✓ {shown.title} after {shown.seconds:.1f} s: {shown.detail}", soft_wrap=True)
