"""The commands, and the one place where errors become sentences and exit codes."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from reasonflux import __version__
from reasonflux.contracts import DEFAULT_ENGINE, CreateSession, Effort, Outcome
from reasonflux.errors import ReasonFluxError

PLUGINS = "reasonflux.commands"
UNSOLVED, USAGE, INTERRUPTED = 3, 2, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Solve hard problems by planning over thought templates.",
)
out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="print the journal, one JSON entry a line")]


def run() -> None:
    """Run the command line."""
    for point in entry_points(group=PLUGINS):
        add_plugin(app, point)
    with failures_as_sentences():
        app()


@contextmanager
def failures_as_sentences() -> Iterator[None]:
    """What runs inside ends the process, where it fails as expected, with a sentence and an exit code, never a
    traceback."""
    try:
        yield
    except ReasonFluxError as error:
        sys.exit(report(error))
    except ValidationError as error:
        sys.exit(_report_misfit(error))
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def report(error: ReasonFluxError) -> int:
    """Print message and hint, with the last lines of a log where there is one. Returns the exit code."""
    for line in getattr(error, "log", ()):
        err.print(Text(f"  │ {line}", style="dim"), overflow="ellipsis", no_wrap=True)
    err.print(Text.assemble(("error: ", "bold red"), error.failure.message))
    if error.failure.hint:
        err.print(Text.assemble(("→ ", "yellow"), error.failure.hint))
    return int(getattr(error, "exit_code", 1))


def _report_misfit(error: ValidationError) -> int:
    """A setting or an argument that does not fit. The value is not shown: it may be a key."""
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        where = f"REASONFLUX_{name.upper()}" if "Settings" in error.title else name
        err.print(Text.assemble(("error: ", "bold red"), f"{where}: {str(fault['msg']).removeprefix('Value error, ')}"))
    return USAGE


def add_plugin(to: typer.Typer, point: EntryPoint) -> None:
    """A command of another package. It is imported only when it is called, so that one that is broken breaks alone."""
    source = point.dist.name if point.dist else point.value

    def call(context: typer.Context) -> None:
        try:
            command = point.load()
        except Exception as error:  # whatever another package does when it is imported
            err.print(Text.assemble(("error: ", "bold red"), f"`{point.name}` ({source}) cannot be loaded: {error}"))
            err.print(Text.assemble(("→ ", "yellow"), "run `make install`; the other commands work without it"))
            raise typer.Exit(1) from error
        command(args=context.args, prog_name=f"reasonflux {point.name}")

    to.command(
        point.name,
        help=f"Commands of {source}.",
        rich_help_panel="Further commands",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(call)


def wait_for(work: Coroutine[Any, Any, int]) -> None:
    """Run to the end, and leave with the exit code that it returns. Signals cancel it, so that it cleans up."""

    async def until_signalled() -> int:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        return await work

    try:
        code = asyncio.run(until_signalled())
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("stopped")
        code = INTERRUPTED
    raise typer.Exit(code)


@app.command()
def up() -> None:
    """Start the embedded stack and leave it running."""
    from reasonflux.cli.embedded import bring_up

    wait_for(bring_up(out))


@app.command()
def down() -> None:
    """Stop exactly what `up` started."""
    from reasonflux.cli.embedded import take_down

    wait_for(take_down(out))


@app.command()
def status() -> None:
    """Show what runs, where, and whether it is ready. Exit code 1 when something is not."""
    from reasonflux.cli.embedded import show_status

    wait_for(show_status(out))


@app.command()
def solve(
    problem: Annotated[str, typer.Argument(help="the problem, in words and LaTeX; - reads it from standard input")],
    effort: Annotated[Effort, typer.Option(help="how hard to try")] = Effort.MEDIUM,
    horizon: Annotated[int | None, typer.Option(min=1, help="steps planned at a time; default: all")] = None,
    review: Annotated[bool, typer.Option(help="let the navigator read every result")] = True,
    templates: Annotated[bool, typer.Option(help="retrieve thought templates")] = True,
    parent: Annotated[str | None, typer.Option(help="the id of a finished session that this one follows up")] = None,
    library: Annotated[str, typer.Option(help="the template library")] = "math",
    engine: Annotated[str, typer.Option(help="an engine profile that the operator offers")] = DEFAULT_ENGINE,
    instructions: Annotated[str, typer.Option(help="standing instructions, such as conventions to keep to")] = "",
    as_json: JsonOption = False,
) -> None:
    """Solve a problem and watch it unfold. Exit code 3 when it is not solved."""
    from reasonflux.cli.following import solve_and_show
    from reasonflux.client import NavigatorClient

    text = sys.stdin.read() if problem == "-" else problem
    request = CreateSession(
        problem=text,
        effort=effort,
        horizon=horizon,
        review=review,
        retrieve=templates,
        parent=parent,
        library=library,
        engine=engine,
        instructions=instructions,
    )

    async def work() -> int:
        async with NavigatorClient.open(navigator_url()) as navigator:
            view = await solve_and_show(navigator, request, out, as_json=as_json)
        return 0 if view.outcome is Outcome.SOLVED else UNSOLVED

    wait_for(work())


@app.command()
def trace(session: Annotated[str, typer.Argument(help="a session's id")], as_json: JsonOption = False) -> None:
    """Show a session again from its journal; one that still runs is followed to its end."""
    from reasonflux.cli.following import follow
    from reasonflux.client import NavigatorClient

    async def work() -> int:
        async with NavigatorClient.open(navigator_url()) as navigator:
            await follow(navigator, session, out, as_json=as_json)
        return 0

    wait_for(work())


@app.command()
def demo(
    problem: Annotated[str | None, typer.Argument(help="solve this one instead of the built-in ones")] = None,
) -> None:
    """Start the stack if it does not run, solve problems with a live trace, and stop what was started."""
    from reasonflux.cli.demo import run_demo

    wait_for(run_demo(out, problem or None))


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def navigator_url() -> str | None:
    """REASONFLUX_NAVIGATOR_URL, else the embedded stack's navigator, else None (the client's default)."""
    from reasonflux.local import record
    from reasonflux.local.settings import LocalSettings

    if url := os.environ.get("REASONFLUX_NAVIGATOR_URL"):
        return url
    stack = record.read(LocalSettings().run_dir)
    return stack.url("navigator") if stack else None
