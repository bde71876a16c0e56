"""A pipeline restarts where it stopped, also after SIGKILL, and reruns what a change touches."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonflux.contracts import Contract
from reasonflux.errors import Conflict, InvalidRequest
from training.running import pipeline
from training.running.fingerprints import contents, fingerprint
from training.running.pipeline import Due, OutputMissing, Stage
from training.running.progress import Progress, Spent
from training.running.run_folder import State

NAMES = ("corpus", "sft", "rollouts.1", "pairs.1", "dpo.1")

PROGRAM = """
import sys, time
from pathlib import Path
from training.running import pipeline
from training.running.pipeline import Stage
from training.running.progress import Progress

folder, resumes = Path(sys.argv[1]), sys.argv[2] == "resumes"

def first(out):
    with (folder / "ran").open("a") as log:
        log.write("first ")
    out.write_text("whole")

def second(out):
    with (folder / "ran").open("a") as log:
        log.write("second ")
    out.mkdir(exist_ok=True)
    before = len(list(out.iterdir()))
    (out / f"checkpoint-{before}").write_text("x")
    print("in the middle", flush=True)
    while not (folder / "go").exists():
        time.sleep(0.05)
    (out / "weights").write_text(f"after {before} checkpoints")

pipeline.run(
    [
        Stage("first", first, (Path("first.txt"),), depends="1"),
        Stage("second", second, (Path("second"),), depends="1", resumes=resumes),
    ],
    folder,
    Progress("killed", folder / "LOG.md"),
)
"""


def quiet() -> Progress:
    return Progress("tiny", tell=lambda line: None)


class Recorder:
    """Stages that write down that they ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def stage(self, name: str, depends: str = "", needs: tuple[str, ...] | None = None) -> Stage:
        def run(out: Path) -> str:
            self.ran.append(name)
            out.write_text(f"{name} {len(self.ran)}")
            return f"{name} is done"

        return Stage(name, run, (Path(f"{name}.txt"),), depends=depends, needs=needs)

    def stages(self, **depends: str) -> list[Stage]:
        return [self.stage(name, depends.get(name.replace(".", "_"), "")) for name in NAMES]


@contextmanager
def started(folder: Path, resumes: bool = False) -> Iterator[subprocess.Popen[str]]:
    """The program in a process of its own, in the middle of its second stage."""
    command = [sys.executable, "-c", PROGRAM, str(folder), "resumes" if resumes else "starts over"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "in the middle" in line:
                break
        try:
            yield process
        finally:
            process.kill()


# --- killed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumes", [False, True])
def test_a_pipeline_that_was_killed_goes_on_at_the_stage_that_it_was_in(tmp_path: Path, resumes: bool) -> None:
    with started(tmp_path, resumes) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "first.txt").read_text() == "whole"
    assert not (tmp_path / "second").exists()
    (tmp_path / "go").touch()
    with started(tmp_path, resumes) as process:
        assert process.wait() == 0
    assert (tmp_path / "ran").read_text() == "first second second "
    assert (tmp_path / "second" / "weights").read_text() == f"after {int(resumes)} checkpoints"
    assert not (tmp_path / "second.partial").exists()
    log = (tmp_path / "LOG.md").read_text()
    assert f"killed second: did not finish last time, {'goes on' if resumes else 'starts over'}" in log


def test_a_signal_lets_a_stage_clean_up_before_the_pipeline_ends(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from training.running import pipeline
from training.running.pipeline import Stage
from training.running.progress import Progress

folder = Path(sys.argv[1])

async def serving(out):
    try:
        print("in the middle", flush=True)
        await asyncio.sleep(600)
    finally:
        (folder / "engine stopped").touch()

pipeline.run([Stage("serving", serving, (Path("out"),), depends="1")], folder, Progress("s", folder / "LOG.md"))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "in the middle" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (tmp_path / "engine stopped").exists()
    assert "Stopped: stage serving was stopped by a signal (the same command goes on)" in said
    assert "stopped by a signal" in (tmp_path / "LOG.md").read_text()


def test_two_pipelines_do_not_share_a_folder_and_a_dead_ones_lock_is_free(tmp_path: Path) -> None:
    recorder = Recorder()
    with started(tmp_path) as process:
        with pytest.raises(Conflict, match=f"process {process.pid} on .* is at work"):
            pipeline.run(recorder.stages(), tmp_path, quiet())
        process.send_signal(signal.SIGKILL)
        process.wait()
    pipeline.run(recorder.stages(), tmp_path, quiet())
    assert recorder.ran == list(NAMES)


# --- what runs again ------------------------------------------------------------------------------------------------


def test_what_is_done_does_not_run_again(tmp_path: Path) -> None:
    recorder = Recorder()
    pipeline.run(recorder.stages(), tmp_path, quiet())
    pipeline.run(recorder.stages(), tmp_path, quiet())
    assert recorder.ran == list(NAMES)


@settings(max_examples=30, deadline=None)
@given(changed=st.sampled_from(NAMES), how=st.sampled_from(["config", "version", "lost", "forced"]))
def test_a_change_reruns_its_stage_and_all_after_and_none_before(
    tmp_path_factory: pytest.TempPathFactory, changed: str, how: str
) -> None:
    folder, recorder = tmp_path_factory.mktemp("run"), Recorder()
    pipeline.run(recorder.stages(), folder, quiet())
    recorder.ran.clear()
    stages = recorder.stages(**({changed.replace(".", "_"): "other"} if how == "config" else {}))
    place = NAMES.index(changed)
    if how == "version":
        old = stages[place]
        stages[place] = Stage(old.name, old.run, old.outputs, old.depends, version=2)
    if how == "lost":
        (folder / f"{changed}.txt").unlink()
    pipeline.run(stages, folder, quiet(), force=changed if how == "forced" else None)
    assert recorder.ran == list(NAMES[place:])
    recorder.ran.clear()
    pipeline.run(stages, folder, quiet())
    assert recorder.ran == []


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(
        st.tuples(st.lists(st.sampled_from("ab"), min_size=5, max_size=5), st.none() | st.integers(0, 4)), max_size=5
    )
)
def test_however_often_it_fails_what_stands_in_the_end_was_made_from_todays_config(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[list[str], int | None]]
) -> None:
    """Each stage writes its own setting after what the stage before it wrote."""
    folder = tmp_path_factory.mktemp("run")

    def stages(letters: Sequence[str], fails: int | None) -> list[Stage]:
        def stage(n: int) -> Stage:
            def run(out: Path) -> None:
                with out.open("a") as file:
                    file.write((folder / f"{n - 1}.txt").read_text() if n else "")
                    file.flush()
                    if n == fails:
                        raise OSError("the disk is full")
                    file.write(letters[n])

            return Stage(str(n), run, (Path(f"{n}.txt"),), depends=letters[n])

        return [stage(n) for n in range(5)]

    for letters, fails in runs:
        try:
            pipeline.run(stages(letters, fails), folder, quiet())
        except OSError:
            assert not (folder / f"{fails}.txt").exists()
    last = runs[-1][0] if runs else list("abaab")
    pipeline.run(stages(last, None), folder, quiet())
    assert (folder / "4.txt").read_text() == "".join(last)


def test_a_further_round_runs_nothing_of_the_earlier_ones(tmp_path: Path) -> None:
    recorder = Recorder()
    pipeline.run(recorder.stages(), tmp_path, quiet())
    pipeline.run([*recorder.stages(), recorder.stage("rollouts.2"), recorder.stage("dpo.2")], tmp_path, quiet())
    assert recorder.ran == [*NAMES, "rollouts.2", "dpo.2"]


def test_a_stage_that_nothing_reads_reruns_nothing(tmp_path: Path) -> None:
    recorder = Recorder()

    def stages(evaluation: str) -> list[Stage]:
        return [
            recorder.stage("sft"),
            recorder.stage("evaluate.0", evaluation),
            recorder.stage("dpo.1", needs=("sft",)),
            recorder.stage("evaluate.1", needs=("dpo.1",)),
        ]

    pipeline.run(stages("500 problems"), tmp_path, quiet())
    recorder.ran.clear()
    pipeline.run(stages("200 problems"), tmp_path, quiet())
    assert recorder.ran == ["evaluate.0"]
    recorder.ran.clear()
    pipeline.run(stages("200 problems"), tmp_path, quiet(), force="dpo.1")
    assert recorder.ran == ["dpo.1", "evaluate.1"]


def test_only_the_stages_up_to_the_named_one_run(tmp_path: Path) -> None:
    recorder = Recorder()
    pipeline.run(recorder.stages(), tmp_path, quiet(), until="rollouts.1")
    assert recorder.ran == list(NAMES[:3])
    found = pipeline.plan(recorder.stages(), State(), tmp_path)
    assert set(found.values()) == {Due.NEW}


def test_a_stage_does_not_go_on_from_what_was_begun_with_another_config(tmp_path: Path) -> None:
    def stage(setting: str, ends: bool) -> Stage:
        def run(out: Path) -> None:
            with out.open("a") as file:
                file.write(setting)
            if not ends:
                raise MemoryError

        return Stage("sft", run, (Path("sft"),), depends=setting, resumes=True)

    for setting in ("a", "a", "b"):
        with pytest.raises(MemoryError):
            pipeline.run([stage(setting, ends=False)], tmp_path, quiet())
    assert (tmp_path / "sft.partial").read_text() == "b"
    pipeline.run([stage("b", ends=True)], tmp_path, quiet())
    assert (tmp_path / "sft").read_text() == "bb"


def test_asynchronous_stages_and_those_with_a_loop_of_their_own_run(tmp_path: Path) -> None:
    def write(*outs: Path) -> None:
        for out in outs:
            out.write_text(out.name)

    async def asynchronous(out: Path, other: Path) -> str:
        await asyncio.sleep(0)
        write(out, other)
        return "both"

    def own_loop(out: Path) -> None:
        asyncio.run(asyncio.sleep(0))
        write(out)

    stages = [
        Stage("one", asynchronous, (Path("a/one.txt"), Path("a/two.txt")), depends=""),
        Stage("two", own_loop, (tmp_path / "three.txt",), depends=""),
    ]
    state = pipeline.run(stages, tmp_path, quiet())
    assert state.stages["one"].outcome == "both"
    assert (tmp_path / "a" / "two.txt").read_text() == "two.txt.partial"
    assert (tmp_path / "three.txt").read_text() == "three.txt.partial"


# --- refused --------------------------------------------------------------------------------------------------------


def test_what_no_run_has_made_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("years of work")
    stages = Recorder().stages()
    with pytest.raises(Conflict, match=r"corpus\.txt is there, and no run has made it"):
        pipeline.run(stages, tmp_path, quiet())
    assert (tmp_path / "corpus.txt").read_text() == "years of work"


def test_what_a_run_made_before_its_config_changed_is_its_own_to_delete(tmp_path: Path) -> None:
    recorder = Recorder()
    pipeline.run(recorder.stages(), tmp_path, quiet())
    pipeline.run(recorder.stages(corpus="2"), tmp_path, quiet(), until="corpus")
    pipeline.run(recorder.stages(corpus="2"), tmp_path, quiet())
    assert recorder.ran == [*NAMES, "corpus", *NAMES[1:]]


def test_what_is_due_is_what_a_run_with_the_same_words_comes_to(tmp_path: Path) -> None:
    recorder = Recorder()
    assert pipeline.due(recorder.stages(), tmp_path, until="sft") == {"corpus": Due.NEW, "sft": Due.NEW}
    pipeline.run(recorder.stages(), tmp_path, quiet())
    due = pipeline.due(recorder.stages(), tmp_path, force="pairs.1")
    assert [name for name, why in due.items() if why is not Due.DONE] == ["pairs.1", "dpo.1"]
    with pytest.raises(InvalidRequest, match="there is no stage sift"):
        pipeline.due(recorder.stages(), tmp_path, until="sift")


def test_a_stage_that_does_not_write_its_outputs_is_not_done(tmp_path: Path) -> None:
    stage = Stage("sft", lambda one, _: one.write_text("1") and None, (Path("one"), Path("two")), depends="")
    with pytest.raises(OutputMissing, match="without writing two"):
        pipeline.run([stage], tmp_path, quiet())
    assert not (tmp_path / "one").exists()


def test_a_pipeline_that_does_not_hold_together_is_refused(tmp_path: Path) -> None:
    recorder = Recorder()
    one, two = recorder.stage("one"), recorder.stage("two", needs=("three",))
    for stages in ([one, one], [one, Stage("1", one.run, one.outputs, "")], [two, recorder.stage("three")]):
        with pytest.raises(InvalidRequest):
            pipeline.run(stages, tmp_path, quiet())
    with pytest.raises(InvalidRequest, match="the stages are one"):
        pipeline.run([one], tmp_path, quiet(), force="pairs.9")
    assert recorder.ran == []


def test_a_state_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"stages": {"sft": "done"}}))
    with pytest.raises(InvalidRequest, match=r"state\.json cannot be read \(move"):
        pipeline.run(Recorder().stages(), tmp_path, quiet())


# --- fingerprints ---------------------------------------------------------------------------------------------------


class Loss(StrEnum):
    SIGMOID = "sigmoid"
    SFT = "sft"


class Section(Contract):
    rate: float = 1e-5
    losses: frozenset[Loss] = frozenset(Loss)
    weights: dict[str, float] = {}  # noqa: RUF012 - pydantic copies it


SECTIONS = st.builds(
    Section,
    rate=st.floats(0, 1),
    losses=st.frozensets(st.sampled_from(Loss)),
    weights=st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=3),
)


@given(SECTIONS, SECTIONS)
def test_fingerprints_are_equal_exactly_when_the_sections_are(one: Section, other: Section) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    turned = one.model_copy(update={"weights": dict(reversed(one.weights.items()))})
    assert fingerprint(turned) == fingerprint(one)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """Sets have another order in each process."""
    program = (
        "from training.running.fingerprints import fingerprint; print(fingerprint(frozenset('abcdefgh'), 1, None))"
    )
    found = {
        subprocess.check_output([sys.executable, "-c", program], text=True, env={"PYTHONHASHSEED": seed}).strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint(frozenset("abcdefgh"), 1, None)}


def test_the_contents_of_a_folder_do_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place / "algebra").mkdir(parents=True)
        (tmp_path / place / "algebra" / "vieta.yaml").write_text("id: vieta")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    (tmp_path / "there" / "algebra" / "vieta.yaml").rename(tmp_path / "there" / "vieta.yaml")
    assert contents(tmp_path / "here") != contents(tmp_path / "there")


# --- progress -------------------------------------------------------------------------------------------------------


def test_each_stage_gets_a_dated_line_in_the_log_and_failures_too(tmp_path: Path) -> None:
    log, told, now = tmp_path / "LOG.md", list[str](), [0.0]
    log.write_text("# Training log\n\n## A heading\n- an older point")

    def makes(out: Path) -> str:
        now[0] += 192
        out.touch()
        return "1,204 pairs"

    def fails(out: Path) -> None:
        now[0] += 3720
        raise FileNotFoundError(f"no file {tmp_path / 'deep' / 'pairs.jsonl'}\nthere")

    stages = [
        Stage("pairs.1", makes, (Path("pairs.1"),), depends=""),
        Stage("dpo.1", fails, (Path("dpo.1"),), depends=""),
    ]
    meter, day = (lambda: Spent(2 * now[0], now[0])), (lambda: date(2026, 11, 21))
    progress = Progress("tiny", log, tell=told.append, meter=meter, day=day)
    with pytest.raises(FileNotFoundError):
        pipeline.run(stages, tmp_path / "run", progress)
    assert log.read_text() == (
        "# Training log\n\n## A heading\n- an older point\n\n"
        "- 2026-11-21 tiny pairs.1: 1,204 pairs, 3.2 CPU-min\n"
        "- 2026-11-21 tiny dpo.1: failed: FileNotFoundError no file …/pairs.jsonl there, 62.0 CPU-min\n"
    )
    assert told == [
        "[1/2] pairs.1 starts: not run yet",
        "[1/2] pairs.1: 1,204 pairs (6 min 24 s, 3.2 CPU-min)",
        "[2/2] dpo.1 starts: not run yet",
        "[2/2] dpo.1: failed: FileNotFoundError no file "
        f"{tmp_path / 'deep' / 'pairs.jsonl'}\nthere (2 h 04 min, 62.0 CPU-min)",
    ]
