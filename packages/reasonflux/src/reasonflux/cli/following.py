"""A session followed to its end: live text below, committed entries above as they come."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from reasonflux.cli.render import View, harmless, render
from reasonflux.client import begun
from reasonflux.contracts import ActionKind, CreateSession, Delta, Entry, Session, SessionFinished, StepRestarted
from reasonflux.errors import ReasonFluxError

LIVE_CHARACTERS = 200
_KEPT_CHARACTERS = 8_000
_SAID = re.compile(r'"(?:abstraction|goal|reason|reply)":\s*"((?:[^"\\]|\\.)*)')
DOING = {
    ActionKind.PLAN: "the navigator plans",
    ActionKind.RETRIEVE: "a template is looked up",
    ActionKind.INSTANTIATE: "the executor works on step",
    ActionKind.REVIEW: "the navigator reviews step",
}


class Sessions(Protocol):
    """What is asked of `reasonflux.client.NavigatorClient`."""

    async def create(self, request: CreateSession) -> Session: ...

    def events(self, session_id: str, after: int = 0) -> AsyncGenerator[Entry | Delta, None]: ...

    async def cancel(self, session_id: str) -> Session: ...


class Ticker:
    """The text that is being generated right now: one line per action, gone when its entry is committed."""

    def __init__(self) -> None:
        self._texts: dict[tuple[ActionKind, int | None, int], str] = {}
        self._spinner = Spinner("dots")

    def take(self, item: Entry | Delta) -> None:
        if isinstance(item, Delta):
            key = (item.action, item.step_id, item.attempt)
            before = "" if item.restarted else self._texts.get(key, "")
            self._texts[key] = (before + harmless(item.text))[-_KEPT_CHARACTERS:]
            return
        event = item.event
        if isinstance(event, StepRestarted):
            self._texts.clear()  # a new worker took over: partial text is void
        committed = getattr(event, "step_id", None)
        self._texts = {key: text for key, text in self._texts.items() if key[1] is not None and key[1] != committed}

    def __rich__(self) -> RenderableType:
        lines = [self._line(key, text) for key, text in self._texts.items()]
        self._spinner.update(text=Text("working" if not lines else "", style="dim"))
        return Group(self._spinner, *lines)

    @staticmethod
    def _line(key: tuple[ActionKind, int | None, int], text: str) -> Text:
        action, step_id, _ = key
        head = f"{DOING[action]} {step_id if step_id is not None else ''}".strip()
        line = Text.assemble((f"{head}: ", "cyan"), (_readable(text)[-LIVE_CHARACTERS:], "dim"))
        line.no_wrap, line.overflow = True, "ellipsis"
        return line


def _readable(text: str) -> str:
    """Plans and reviews are generated as JSON: of that only what it says, as far as it has come."""
    said = _SAID.findall(text) if text.lstrip().startswith("{") else [text]
    return " ".join("; ".join(said).split())


async def follow(navigator: Sessions, session_id: str, console: Console, *, as_json: bool = False) -> View:
    """Show the session from its first entry to its last, live where it still runs. Returns what was told."""
    view, ticker = View(), Ticker()
    # In a pipe, or as JSON, only what is committed.
    live = Live(ticker, console=console, transient=True, refresh_per_second=10) if _lively(console, as_json) else None
    if live:
        live.start()
    try:
        async with aclosing(navigator.events(session_id)) as events:
            async for item in events:
                ticker.take(item)
                if isinstance(item, Delta):
                    continue
                view, shown = render(view, item)
                if live and isinstance(item.event, SessionFinished):
                    live.stop()
                if as_json:
                    console.out(item.model_dump_json(), highlight=False)
                else:
                    console.print(*shown, sep="\n")
    finally:
        if live:
            live.stop()
    return view


async def solve_and_show(
    navigator: Sessions, request: CreateSession, console: Console, *, as_json: bool = False
) -> View:
    """Create a session and follow it. Interrupted, or when nobody reads on, it is cancelled at the navigator too."""
    session = await begun(navigator, request)
    try:
        if not as_json:
            console.print(Text(f"session {session.id}", style="dim"))
        return await follow(navigator, session.id, console, as_json=as_json)
    except asyncio.CancelledError:
        await _cancel(navigator, session.id, Console(stderr=True))
        raise
    except (BrokenPipeError, SystemExit):  # rich leaves so when the reader of a pipe has seen enough
        await _cancel(navigator, session.id, Console(quiet=True))
        raise


async def _cancel(navigator: Sessions, session_id: str, console: Console) -> None:
    said = f"cancelled session {session_id}"
    try:
        async with asyncio.timeout(5.0):
            await navigator.cancel(session_id)
    except (ReasonFluxError, TimeoutError) as error:
        said = f"session {session_id} may go on: it could not be cancelled ({error or 'no answer'})"
    console.print(Text(said, style="yellow"))


def _lively(console: Console, as_json: bool) -> bool:
    return console.is_terminal and not as_json
