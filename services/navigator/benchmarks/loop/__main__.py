"""What the loop itself costs and saves: `make bench-loop` (writes docs/results/loop.md and .json).

The services are the real ones. Their engines are the shipped weights on vLLM (taken from a running `make up`, else
started), the same replies again at a larger engine's pace, and a script of an instructed LLM's length at that pace.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import report
from calls import Call, engine_seconds
from engine_line import EngineLine, Pace
from scripted import PROBLEMS, say

from evaluation.ladder import Split, generate
from reasonflux.client import NavigatorClient
from reasonflux.contracts import CreateSession, Entry, Session, SessionFinished
from reasonflux.http import LINE_ERRORS, http_client
from reasonflux.local.preflight import examine, this_machine
from reasonflux.local.process import Stack
from reasonflux.local.settings import ROLES, LocalSettings
from reasonflux.local.stack import Process, plan

ROOT = Path(__file__).parents[4]
RESULT = ROOT / "docs/results/loop.md"
LINE, NAVIGATOR, EXECUTOR, STORE, REDIS = 18310, 18300, 18301, 18302, 18390
EMBEDDED = {"navigator": 8010, "executor": 8011}
MAY_LOSE = 4_000
MODES = {
    "one call at a time": ("-single", 0),
    "independent steps at once": ("", 0),
    "and bets on reviews": ("", MAY_LOSE),
}
DEPTHS = (2, 3, 4, 5)


@dataclass(frozen=True)
class Run:
    """One problem solved in one mode."""

    kind: str
    problem: str
    mode: str
    wall: float
    engines: float
    session: Session
    calls: tuple[Call, ...]


async def settings_for(home: Path) -> LocalSettings:
    """With the engines of a running stack where there is one."""
    urls = {}
    async with http_client(timeout=5.0) as http:
        for role, port in EMBEDDED.items():
            try:
                offered = (await http.get(f"http://127.0.0.1:{port}/v1/models")).text
            except LINE_ERRORS:  # nothing listens there
                continue
            if f"reasonflux-tiny-{role}" in offered:
                urls[role] = f"http://127.0.0.1:{port}/v1"
    return LocalSettings(
        home=home,
        navigator_port=NAVIGATOR,
        executor_port=EXECUTOR,
        template_store_port=STORE,
        redis_port=REDIS,
        redis_url=None,
        navigator_engine_url=urls.get("navigator"),
        executor_engine_url=urls.get("executor"),
        navigator_engine_port=LINE + 1,
        executor_engine_port=LINE + 2,
        navigator_engine_model="reasonflux-tiny-navigator",
        executor_engine_model="reasonflux-tiny-executor",
        navigator_profile="compact",
        executor_profile="compact",
    )


def profiles() -> str:
    """An engine to choose by name for each way that the line knows."""
    named = {}
    for how, prompts in (("real", "compact"), ("replayed", "compact"), ("scripted", "instruct")):
        for single in ("", "-single"):
            named[f"{how}{single}"] = {
                role: {
                    "url": f"http://127.0.0.1:{LINE}/{how}{single}/{role}/v1",
                    "model": f"reasonflux-tiny-{role}",
                    "profile": prompts,
                }
                for role in ROLES
            }
    return json.dumps(named)


def processes(settings: LocalSettings) -> tuple[Process, ...]:
    own = {"REASONFLUX_ENGINES": profiles(), "REASONFLUX_CACHE_DIR": str(ROOT / ".reasonflux/cache")}
    return tuple(
        replace(process, env={**process.env, **own}, patience=400.0)
        for process in plan(settings, examine(settings, this_machine()))
    )


async def solved(navigator: NavigatorClient, line: EngineLine, kind: str, problem: tuple[str, str], mode: str) -> Run:
    single, may_lose = MODES[mode]
    name, text = problem
    began = perf_counter()
    asked = CreateSession(problem=text, engine=f"{kind}{single}", speculation=may_lose, retrieve=kind != "scripted")
    created = await navigator.create(asked)
    async with aclosing(navigator.events(created.id)) as events:
        async for event in events:
            if isinstance(event, Entry) and isinstance(event.event, SessionFinished):
                break
    ended = perf_counter()
    session = await navigator.get(created.id)
    calls = tuple(call for call in line.calls if call.session == created.id)
    return Run(kind, name, mode, ended - began, engine_seconds(calls, began, ended), session, calls)


async def measured(navigator: NavigatorClient, line: EngineLine, problems: Sequence[tuple[str, str]]) -> list[Run]:
    """Real: one session at a time, the modes in turn. Paced engines only wait: there all problems of a mode at once."""
    runs = []
    warm_up = [(f"warm-up {n}", f"What is {n} plus 5?") for n in (3, 4)]
    for problem in warm_up:
        await solved(navigator, line, "real", problem, next(iter(MODES)))
    for problem in problems:
        for mode in MODES:
            runs.append(await solved(navigator, line, "real", problem, mode))
            print(f"real: {problem[0]}, {mode}: {runs[-1].wall:.2f} s", flush=True)
    scripted = [(problem.name, problem.text) for problem in PROBLEMS]
    for kind, asked in (("replayed", problems), ("scripted", scripted)):
        for mode in MODES:
            together = await asyncio.gather(*(solved(navigator, line, kind, problem, mode) for problem in asked))
            print(f"{kind}: {mode}: {sum(run.wall for run in together):.1f} s", flush=True)
            runs += together
    return runs


async def main(arguments: argparse.Namespace) -> None:
    own = asyncio.current_task()
    assert own is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, own.cancel)  # the servers end with it
    ladder = islice(generate(Split.HELDOUT, DEPTHS, seed=arguments.seed), arguments.problems)
    problems = [(f"depth {problem.depth}: {problem.id}", problem.text) for problem in ladder]
    with tempfile.TemporaryDirectory() as home:
        settings = await settings_for(Path(home))
        engines: dict[str, str] = {
            role: settings.engine_url(role) or f"http://127.0.0.1:{_port(settings, role)}/v1" for role in ROLES
        }
        line = EngineLine(engines, say, Pace(token=1e-3 * arguments.token_ms))
        async with line.serving(LINE):
            stack = Stack(Path(home) / "run", processes(settings))
            await stack.start()
            try:
                async with NavigatorClient.open(f"http://127.0.0.1:{NAVIGATOR}") as navigator:
                    runs = await measured(navigator, line, problems)
            finally:
                await stack.stop()
    wrong = [
        run.problem
        for run in runs
        for scripted in PROBLEMS
        if run.kind == "scripted" and run.problem == scripted.name and run.session.answer != scripted.answer
    ]
    if wrong:
        sys.exit(f"the script's own problems were answered wrongly: {', '.join(wrong)}")
    report.write(RESULT, runs, line.pace, list(MODES), arguments.note)
    print(RESULT.read_text())


def _port(settings: LocalSettings, role: str) -> int:
    return settings.navigator_engine_port if role == "navigator" else settings.executor_engine_port


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=8, help="of the ladder, held out, depth 2 to 5")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--token-ms", type=float, default=10.0, help="of the paced engines, for each token")
    parser.add_argument("--note", default="", help="a line for the report, such as what else the machine was doing")
    asyncio.run(main(parser.parse_args()))
