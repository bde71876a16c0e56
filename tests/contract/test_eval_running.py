"""`eval BENCH` against an engine over HTTP: measured, killed and resumed, reported; and studies of several runs."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluation import cli, running
from evaluation.attempt import Verdict
from evaluation.opening import Places
from evaluation.questions import BenchmarkQuestions
from evaluation.report import Report
from evaluation.runs import Journal, RunSpec, read
from evaluation.strategies.catalogue import parse
from evaluation.studies import pages as study_pages
from evaluation.studies import study as studies
from reasonflux.errors import Conflict, EngineError, InvalidRequest
from reasonflux.testing.fake_engine import Call, FakeEngine, fake_openai_app
from reasonflux.testing.serving import served

NOWHERE = "http://127.0.0.1:9"
PLACES = Places(navigator_url=NOWHERE, executor_url=NOWHERE, template_store_url=NOWHERE)
STUDY = """
name: sums
question: Do more samples help?
defaults:
  benchmark: {file}
runs:
  - direct
  - majority@3
  - strategy: direct
    name: twice
    samples: 2
  - strategy: majority@2
    of: twice
plots:
  - {{kind: cost, title: Success against tokens}}
  - {{kind: bars, metric: tokens, title: Tokens}}
"""
SLOWLY = """
import asyncio, sys
from pathlib import Path
from evaluation import running
from evaluation.questions import BenchmarkQuestions
from evaluation.runs import RunSpec
from evaluation.strategies.catalogue import parse
from evaluation.attempt import Verdict
from evaluation.opening import Places
url, bench, path = sys.argv[1:]
spec = RunSpec(questions=BenchmarkQuestions.find(bench), strategy=parse("direct"), samples=2)
places = Places(navigator_url=url, executor_url=url, template_store_url=url)
asyncio.run(running.start(spec, Path(path), places, 1, url))
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    rows = [{"problem": f"What is {n} + 1?", "answer": str(n + 1), "level": n % 2, "subject": "Sums"} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def adds(call: Call) -> str:
    """Right, but for the problem with 5, where it depends on the seed."""
    number = int(call.messages[-1].content.split()[2])
    return rf"\boxed{{{number + 1 + (number == 5 and (call.seed or 0) % 2)}}}"


async def test_a_benchmark_is_measured_on_an_engine_and_reported(bench: Path, tmp_path: Path) -> None:
    spec = RunSpec(questions=BenchmarkQuestions.find(str(bench)), strategy=parse("direct"), samples=4)
    async with served(fake_openai_app(adds)) as url:
        assert await running.start(spec, tmp_path / "run.jsonl", PLACES, 3, f"{url}/v1", plots=True) == 0
    found = Report.model_validate_json((tmp_path / "run.json").read_text())
    assert found.overall.right.n == 6
    assert found.overall.verdicts[Verdict.RIGHT] + found.overall.verdicts[Verdict.WRONG] == 24
    assert [score.name for score in found.scores] == ["avg@4", "pass@1", "pass@2", "pass@4", "maj@4"]
    average, passed, *_ = (score.value.mean for score in found.scores)
    assert average == pytest.approx(passed)
    assert {row.name: row.right.n for row in found.by_level} == {"0": 3, "1": 3}
    assert [row.name for row in found.by_subject] == ["Sums"]
    assert found.usage.executor.calls == 24
    assert found.overall.tokens_per_right is not None
    assert found.within[-1].right.mean == pytest.approx(found.overall.right.mean)
    assert found.run.spec.engine is not None
    assert found.run.spec.engine.model == "fake"
    text = (tmp_path / "run.md").read_text()
    assert "- pass@4:" in text
    assert "Solved within a token budget" in text


async def test_a_run_that_was_killed_goes_on_and_pays_for_nothing_twice(bench: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    engine = FakeEngine(adds, pace=0.15)
    async with served(fake_openai_app(engine)) as url:
        command = (sys.executable, "-c", SLOWLY, f"{url}/v1", str(bench), str(path))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        while not path.exists() or len(path.read_bytes().splitlines()) < 4:
            assert process.returncode is None
            await asyncio.sleep(0.02)
        with pytest.raises(Conflict, match="another run"):
            Journal.resume(path)
        process.kill()
        await process.wait()
        with path.open("ab") as file:
            file.write(b'{"task":{"id":"half a li')
        done = [attempt.key for attempt in read(path)[1]]
        before = len(engine.calls)
        assert await running.finish(Journal.resume(path), PLACES, 4) == 0
    keys = [attempt.key for attempt in read(path)[1]]
    assert keys[: len(done)] == done
    assert sorted(keys) == sorted((f"sums-{n}", sample) for n in range(6) for sample in range(2))
    assert len(engine.calls) - before == 12 - len(done)


async def test_an_engine_that_goes_away_leaves_a_file_to_go_on_with(bench: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    spec = RunSpec(questions=BenchmarkQuestions.find(str(bench)), strategy=parse("direct"))
    engine = FakeEngine([r"\boxed{1}", r"\boxed{2}", *(EngineError("gone") for _ in range(40))])
    async with served(fake_openai_app(engine)) as url:
        with pytest.raises(Exception, match="--resume") as stopped:
            await running.start(spec, path, PLACES, 1, f"{url}/v1")
    assert "what is done is kept" in str(stopped.value)
    assert len(read(path)[1]) == 2


async def test_no_file_is_made_where_the_engine_is_not_there(bench: Path, tmp_path: Path) -> None:
    spec = RunSpec(questions=BenchmarkQuestions.find(str(bench)), strategy=parse("majority@2"))
    with pytest.raises(InvalidRequest, match="--engine"):
        await running.start(spec, tmp_path / "run.jsonl", PLACES, 1)
    with pytest.raises(EngineError):
        await running.start(spec, tmp_path / "run.jsonl", PLACES, 1, f"{NOWHERE}/v1")
    assert not (tmp_path / "run.jsonl").exists()


async def test_an_engine_with_several_models_must_be_told_which(bench: Path, tmp_path: Path) -> None:
    spec = RunSpec(questions=BenchmarkQuestions.find(str(bench)), strategy=parse("direct"))
    async with served(fake_openai_app(adds, models=("one", "two"))) as url:
        with pytest.raises(InvalidRequest, match=r"one \| two"):
            await running.start(spec, tmp_path / "run.jsonl", PLACES, 1, f"{url}/v1")
        with pytest.raises(InvalidRequest, match="three"):
            await running.start(spec, tmp_path / "run.jsonl", PLACES, 1, f"{url}/v1", "three")
        assert await running.start(spec, tmp_path / "run.jsonl", PLACES, 1, f"{url}/v1", "two") == 0


def test_what_is_no_command_is_a_benchmark() -> None:
    refused = CliRunner().invoke(cli.app, ["no-such-benchmark", "--strategy", "direct", "--data", "/nowhere"])
    assert "no-such-benchmark" in str(refused.exception)
    refused = CliRunner().invoke(cli.app, ["ladder", "--strategy", "dirct"])
    assert "direct" in str(refused.exception)


async def test_a_study_is_carried_out_kept_and_drawn_the_same_every_time(bench: Path, tmp_path: Path) -> None:
    file, reports = tmp_path / "study.yaml", tmp_path / "reports"
    file.write_text(STUDY.format(file=bench))
    study = studies.read(file)
    assert [run.name for run in study.runs] == ["direct", "majority@3", "twice", "majority@2"]
    engine = FakeEngine(adds)
    async with served(fake_openai_app(engine)) as url:
        await studies.carry_out(study, tmp_path / "runs", reports, PLACES, 4, f"{url}/v1", None, only=["direct"])
        assert len(engine.calls) == 6
        for _ in range(2):  # the second time there is nothing left to do
            await studies.carry_out(study, tmp_path / "runs", reports, PLACES, 4, f"{url}/v1", None)
    assert len(engine.calls) == 6 * (1 + 3 + 2)
    assert [done for *_, done in studies.standing(study, tmp_path / "runs")] == [6, 6, 12, 6]
    kept = studies.Kept.model_validate_json((reports / "sums.json").read_text())
    assert list(kept.reports) == ["direct", "majority@3", "twice", "majority@2"]
    chosen, samples = kept.reports["majority@2"].overall, kept.reports["twice"].overall
    assert chosen.tokens.mean == pytest.approx(2 * samples.tokens.mean)
    assert all(not found.failures for found in kept.reports.values())
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    pages = [study_pages.generate(reports, tmp_path / name, tmp_path) for name in ("a", "b")]
    assert [path.name for path in pages[0]] == ["sums-1.png", "sums-2.png", "sums.md"]
    assert [path.read_bytes() for path in pages[0]] == [path.read_bytes() for path in pages[1]]
    assert "| majority@3 | 6 |" in (tmp_path / "a" / "sums.md").read_text()


async def test_a_study_that_was_changed_does_not_go_on_with_old_results(bench: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(file=bench))
    async with served(fake_openai_app(adds)) as url:
        await studies.carry_out(studies.read(file), tmp_path, tmp_path, PLACES, 4, f"{url}/v1", None)
        file.write_text(STUDY.format(file=bench).replace("samples: 2", "samples: 3"))
        with pytest.raises(InvalidRequest, match="another version"):
            await studies.carry_out(studies.read(file), tmp_path, tmp_path, PLACES, 4, f"{url}/v1", None)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "name: x", "name: a\nquestion: b\nruns: [{strategy: dirct, name: a}]", "a: [", "name: a\nquestion: b\n"
     "defaults: {}\nruns: [direct, direct]",
     "name: a\nquestion: b\ndefaults: {}\nruns: [{strategy: majority@2, of: none}]"],
)  # fmt: skip
def test_a_study_that_cannot_be_read_is_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(content)
    with pytest.raises(InvalidRequest) as refused:
        studies.read(file)
    assert refused.value.failure.hint
    with pytest.raises(InvalidRequest, match="no study"):
        studies.read(tmp_path / "none.yaml")
