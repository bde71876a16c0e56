"""What everything but the LLM costs: `make bench-overhead` (writes docs/results/overhead.md and .json).

Needs two cores and some minutes. The peers are installed into throw-away environments under --peers on the first run;
`--without optillm` leaves the largest one out.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import peers
import report
from contenders import (
    ANSWER,
    CALLS,
    ITS_HUB_PORT,
    OPTILLM_PORT,
    PORTS,
    Contender,
    Proxy,
    Script,
    configure_its_hub,
    its_hub,
    optillm,
    recorded_calls,
    running,
)
from profiling import profiled, shares, shorten
from timing import Sample

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
RESULT = ROOT / "docs/results/overhead.md"
LEVELS = {1: 16, 16: 48, 64: 64}
"""How many at a time, and how many runs of it in a round."""
TOKENS = 4
"""Characters of a token, where replies are streamed token by token."""


def field(bodies: Path, pids: dict[str, int], pythons: dict[str, Path]) -> list[Contender]:
    """Who takes part, the bare loop first."""
    house = tuple(pids[name] for name in ("navigator", "executor", "redis"))
    url = f"http://127.0.0.1:{PORTS['navigator']}/v1"
    found: list[Contender] = [
        Script("bare httpx loop", Path(sys.executable), HERE / "bare_loop.py", bodies),
        Proxy("ReasonFlux", url, "reasonflux", CALLS, ANSWER, house),
        Proxy("ReasonFlux, replies token by token", url, "reasonflux", CALLS, ANSWER, house, pieces=TOKENS),
    ]
    if python := pythons.get("langgraph"):
        found.append(Script("LangGraph", python, HERE / "langgraph_loop.py", bodies))
    if "its_hub" in pythons:
        hub = f"http://127.0.0.1:{ITS_HUB_PORT}/v1"
        found.append(Proxy("its_hub", hub, "stand-in", CALLS, ANSWER, (pids["its_hub"],)))
    if "optillm" in pythons:
        opti, model = f"http://127.0.0.1:{OPTILLM_PORT}/v1", "self_consistency-stand-in"
        found.append(Proxy("OptiLLM", opti, model, CALLS, ANSWER, (pids["optillm"],)))
        found.append(Proxy("OptiLLM, one plain call", opti, "none-stand-in", 1, ANSWER, (pids["optillm"],)))
        found.append(Proxy("ReasonFlux, one plain call", url, "reasonflux-direct", 1, ANSWER, house))
    return found


async def take_turns(contenders: list[Contender], rounds: int) -> dict[tuple[str, int], list[Sample]]:
    samples: dict[tuple[str, int], list[Sample]] = {
        (contender.name, level): [] for level in LEVELS for contender in contenders
    }
    for turn in range(1, rounds + 1):
        for level, runs in LEVELS.items():
            for contender in contenders:
                sample = await contender.measure(level, runs)
                samples[contender.name, level].append(sample)
                print(f"round {turn}: {contender.name}, {level} at a time: {sample.rate:.1f}/s", flush=True)
    return samples


async def profile(pids: dict[str, int], ours: Contender, py_spy: Path | None) -> dict[str, dict[str, float]]:
    found = {}
    for name in ("navigator", "executor") if py_spy else ():
        assert py_spy is not None
        into = RESULT.with_name(f"overhead-profile-{name}.txt")
        if await profiled(py_spy, pids[name], into, lambda: ours.measure(16, 32)):
            found[name] = shares(into)
            shorten(into)
    return found


async def main(arguments: argparse.Namespace) -> None:
    own = asyncio.current_task()
    assert own is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, own.cancel)  # the servers end with it
    folder = arguments.peers.absolute()
    wanted = [peer for peer in peers.PEERS if peer.name not in arguments.without]
    pythons = {peer.name: python for peer in wanted if (python := peers.environment(peer, folder))}
    spy = peers.environment(peers.PY_SPY, folder)
    servers = [make(pythons[name]) for name, make in (("its_hub", its_hub), ("optillm", optillm)) if name in pythons]
    with tempfile.TemporaryDirectory() as home:
        async with running(Path(home), servers) as (pids, http):
            bodies = Path(home) / "calls.json"
            bodies.write_text(await recorded_calls(http))
            if "its_hub" in pythons:
                await configure_its_hub(http)
            contenders = field(bodies, pids, pythons)
            samples = await take_turns(contenders, arguments.rounds)
            found = await profile(pids, contenders[2], spy.parent / "py-spy" if spy else None)
    missing = [peer.label for peer in peers.PEERS if peer.name not in pythons]
    facts: dict[str, object] = {
        "calls": {contender.name: contender.calls for contender in contenders},
        "rounds": arguments.rounds,
        "shared": arguments.note + (f" Not installed here: {', '.join(missing)}.\n" if missing else ""),
        "peers": {peer.name: peer.label for peer in wanted if peer.name in pythons},
        "profile": found,
    }
    report.write(RESULT, samples, facts)
    print(RESULT.read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=ROOT / ".reasonflux/peers", help="folder of their environments")
    parser.add_argument("--without", nargs="*", default=(), help="peers to leave out: langgraph its_hub optillm")
    parser.add_argument("--note", default="", help="a line for the report, such as what else the machine was doing")
    asyncio.run(main(parser.parse_args()))
