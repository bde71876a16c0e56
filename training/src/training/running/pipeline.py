"""Strings stages together: each runs once, and a pipeline that was killed goes on where it stopped.

in    stages in their order; each names its outputs and a digest of what it depends on
out   <run>/state.json, the outputs, a line of the training log for each stage
run   every `reasonflux train …` that has more than one stage

A stage is done when state.json holds the fingerprint that it has today and its outputs are there. The fingerprint
covers its name, the version of its code, what it depends on, and the fingerprints of the stages before it: a change
runs that stage and all after it again. A stage writes to `<output>.partial`, which gets its name when the stage has
finished, so that what bears an output's name is whole. One that `resumes` finds its partial outputs again, as long as
they were begun from the same inputs. Rounds of an iteration are more stages: rollouts.1, rewards.1, …, rollouts.2.
"""

import asyncio
import inspect
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from reasonflux.errors import InvalidRequest, ReasonFluxError
from training.running.fingerprints import contents as contents
from training.running.fingerprints import fingerprint as fingerprint
from training.running.progress import Progress
from training.running.run_folder import Mark, State, held, make_room, name_outputs, read, write


class OutputMissing(ReasonFluxError):
    """A stage ended well and did not write what it promised."""


class Stopped(ReasonFluxError):
    """A stage was stopped by a signal, and has cleaned up."""


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline."""

    name: str
    run: Callable[..., Awaitable[str | None] | str | None]
    """Called with one path for each output, where it is to be written. May return what it did in half a line."""
    outputs: tuple[Path, ...]
    """Files or folders, under the run's folder unless absolute."""
    depends: str
    """What it is made from besides earlier stages: `fingerprint(config.dpo, contents(library))`."""
    version: int = 1
    """Raised when the stage's code changes what comes out."""
    resumes: bool = False
    """Whether it goes on from its own partial outputs after a kill."""
    needs: tuple[str, ...] | None = None
    """The earlier stages that it reads; None is all of them. What does not need a stage does not follow it."""


class Due(StrEnum):
    """Whether a stage runs, and why."""

    DONE = "done before"
    NEW = "not run yet"
    STOPPED = "it was stopped before it finished"
    CHANGED = "what it is made from has changed"
    LOST = "its outputs are gone"
    FORCED = "asked for"
    FOLLOWS = "a stage that it needs runs again"


def run(
    stages: Sequence[Stage], folder: Path, progress: Progress, *, force: str | None = None, until: str | None = None
) -> State:
    """Run what is due, in order. `force` runs that stage and those after it again; with `until` only that stage and
    what it needs are run.

    Raises what a stage raises, after it is written down; Conflict when another pipeline is at work in the folder.
    """
    with held(folder):
        state, wanted = read(folder), due(stages, folder, force=force, until=until)
        by_name = {stage.name: stage for stage in stages}
        for place, (name, why) in enumerate(wanted.items(), 1):
            state = _pass(by_name[name], why, state, folder, progress, f"{place}/{len(wanted)}", stages)
        return state


def due(stages: Sequence[Stage], folder: Path, *, force: str | None = None, until: str | None = None) -> dict[str, Due]:
    """What a `run` with the same words would come to, in order, and why it would run it or pass it over."""
    check(stages, *(name for name in (force, until) if name is not None))
    wanted = standing(until, stages) if until is not None else {stage.name for stage in stages}
    found = plan(stages, read(folder), folder, force)
    return {name: why for name, why in found.items() if name in wanted}


def plan(stages: Sequence[Stage], state: State, folder: Path, force: str | None = None) -> dict[str, Due]:
    """What each stage is due for, by its name. Looks at outputs and changes nothing."""
    fingerprints = chained(stages)
    found: dict[str, Due] = {}
    again: set[str] = set()
    for stage in stages:
        mark = state.stages.get(stage.name)
        if stage.name == force:
            why = Due.FORCED
        elif mark is None:
            why = Due.NEW
        elif mark.fingerprint != fingerprints[stage.name]:
            why = Due.CHANGED
        elif again.intersection(needed(stage, stages)):
            why = Due.FOLLOWS
        elif mark.finished is None:
            why = Due.STOPPED
        elif not all((folder / output).exists() for output in stage.outputs):
            why = Due.LOST
        else:
            why = Due.DONE
        if why is not Due.DONE:
            again.add(stage.name)
        found[stage.name] = why
    return found


def _pass(
    stage: Stage, why: Due, state: State, folder: Path, progress: Progress, place: str, stages: Sequence[Stage]
) -> State:
    """One stage, if it is due; the state after it."""
    if why is Due.DONE:
        progress.passed_over(stage.name, place)
        return state
    resumed = stage.resumes and why is Due.STOPPED
    if why is Due.STOPPED:
        progress.note(stage.name, f"did not finish last time, {'goes on' if resumed else 'starts over'}")
    outputs = [folder / output for output in stage.outputs]
    partials = make_room(outputs, resumed, ours=stage.name in state.stages)
    mark = Mark(fingerprint=chained(stages)[stage.name], begun=_now())
    state = _begun(stage, mark, state, folder, stages)
    with progress.stage(stage.name, place, why.value, resumed=resumed) as watch:
        told = stage.run(*partials)
        watch.outcome = _run_to_end(stage.name, told) if inspect.isawaitable(told) else told
        missing = name_outputs(outputs)
        if missing:
            raise OutputMissing(
                f"stage {stage.name} ended without writing {', '.join(output.name for output in missing)}",
                hint="a stage writes to the paths that it is called with, one for each output",
            )
        spent = watch.spent
        done = mark.model_copy(
            update={
                "finished": _now(),
                "seconds": spent.elapsed,
                "cpu_minutes": spent.cpu_minutes,
                "outcome": watch.outcome or "",
            }
        )
        state = State(stages={**state.stages, stage.name: done})
        write(folder, state)
    return state


def _run_to_end(name: str, told: Awaitable[str | None]) -> str | None:
    """Signals cancel it, so that it stops the engines that it has started."""

    async def until_signalled() -> str | None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        if threading.current_thread() is threading.main_thread():  # only there are signals heard
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, task.cancel)
        return await told

    try:
        return asyncio.run(until_signalled())
    except asyncio.CancelledError as error:
        raise Stopped(f"stage {name} was stopped by a signal", hint="the same command goes on") from error


def _begun(stage: Stage, mark: Mark, state: State, folder: Path, stages: Sequence[Stage]) -> State:
    """Mark the stages that stand on this one as outdated, before it makes anything else of them."""
    gone = {stage.name}
    for other in stages:
        if gone.intersection(needed(other, stages)):
            gone.add(other.name)
    outdated = {name: old.model_copy(update={"fingerprint": ""}) for name, old in state.stages.items() if name in gone}
    state = State(stages={**state.stages, **outdated, stage.name: mark})
    write(folder, state)
    return state


def chained(stages: Sequence[Stage]) -> dict[str, str]:
    """Each stage's fingerprint, which holds those of the stages that it needs."""
    found: dict[str, str] = {}
    for stage in stages:
        before = [found[name] for name in needed(stage, stages)]
        found[stage.name] = fingerprint(stage.name, stage.version, stage.depends, before)
    return found


def needed(stage: Stage, stages: Sequence[Stage]) -> tuple[str, ...]:
    """The names of the stages that this one stands on."""
    if stage.needs is not None:
        return stage.needs
    names = [other.name for other in stages]
    return tuple(names[: names.index(stage.name)])


def standing(name: str, stages: Sequence[Stage]) -> set[str]:
    """A stage and everything that it stands on."""
    by_name = {stage.name: stage for stage in stages}
    found, left = set[str](), [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += needed(by_name[one], stages)
    return found


def check(stages: Sequence[Stage], *named: str) -> None:
    """Raises InvalidRequest when stages share a name or an output, need a later one, or there is none named so."""
    names = [stage.name for stage in stages]
    outputs = [output for stage in stages for output in stage.outputs]
    for what, items in (("name", names), ("output", [str(output) for output in outputs])):
        twice = sorted({item for item in items if items.count(item) > 1})
        if twice:
            raise InvalidRequest(f"two stages have the {what} {', '.join(twice)}", hint="give each one of its own")
    for place, stage in enumerate(stages):
        late = [name for name in stage.needs or () if name not in names[:place]]
        if late:
            raise InvalidRequest(f"stage {stage.name} needs {', '.join(late)}", hint="put what it needs before it")
    unknown = [name for name in named if name not in names]
    if unknown:
        raise InvalidRequest(f"there is no stage {', '.join(unknown)}", hint=f"the stages are {', '.join(names)}")


def _now() -> datetime:
    return datetime.now(UTC)
