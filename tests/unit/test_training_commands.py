"""The commands of a training: what they take, and how they end when something is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training import cli
from training.reporting.scores import Scores
from training.running import entry
from training.scale import budget
from training.stages import dpo, sft
from training.weights.registry import Registry

# --- stages that are processes of their own ---------------------------------------------------------------------------

CONFIG = "sft: {model: m}\ndpo: {}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


def words_of(tmp_path: Path) -> dict[str, tuple[Callable[[], None], list[str], str]]:
    """Each entry with arguments that it has to refuse, and what it says of them."""
    out, none = ["--out", str(tmp_path / "out")], str(tmp_path / "none")
    return {
        "sft": (sft.main, ["--data", none, *out], "there is no corpus"),
        "dpo": (dpo.main, ["--weights", none, "--pairs", none, *out], "there is no file of pairs"),
        "budget": (budget.main, [], "has no section 'budget'"),
    }


@pytest.mark.parametrize("name", ["sft", "dpo", "budget"])
def test_an_entry_ends_with_a_sentence_a_hint_and_an_exit_code(
    name: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main, words, said = words_of(tmp_path)[name]
    monkeypatch.setattr(sys, "argv", [name, "--config", str(config), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith("error: ")
    assert said in told
    assert "→ " in told


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_the_first_one_says_it_at_once(
    rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(seconds: float) -> None:
        """What a launcher does to the other processes when the first one has ended."""
        sys.exit(-15)

    monkeypatch.setattr(sys, "argv", ["budget", "--config", str(tmp_path / "none.yaml")])
    monkeypatch.setattr(entry.time, "sleep", end)
    monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(SystemExit) as ended:
        budget.main()
    told = capsys.readouterr().err
    assert (ended.value.code, "there is no config" in told) == {"0": (1, True), "1": (-15, False)}[rank]


def test_of_several_processes_one_that_fails_alone_says_it_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(sys, "argv", ["budget", "--config", str(tmp_path / "none.yaml")])
    monkeypatch.setattr(entry.time, "sleep", waited.append)
    monkeypatch.setenv("LOCAL_RANK", "7")
    with pytest.raises(SystemExit) as ended:
        budget.main()
    assert ended.value.code == 1
    assert waited == [entry.PATIENCE]
    assert "there is no config" in capsys.readouterr().err


# --- the commands of stages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["corpus", "sft", "grpo", "publish"])
def test_a_stage_that_a_run_has_once_takes_no_round(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_run", lambda *told: None)
    refused = CliRunner().invoke(cli.app, [stage, "--round", "2"])
    assert refused.exit_code == 2
    assert "No such option" in refused.output


@pytest.mark.parametrize("stage", ["rollouts", "rewards", "pairs", "dpo"])
def test_a_stage_that_every_round_has_runs_in_the_round_that_is_asked_for(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cli, "_run", lambda *told: asked.extend(told))
    assert CliRunner().invoke(cli.app, [stage, "--round", "2"]).exit_code == 0
    assert f"{stage}.2" in asked


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def publishing(tmp_path: Path) -> list[str]:
    """The options of a run that publishes."""
    path = tmp_path / "run.yaml"
    path.write_text(f"start: weights\npublish: {{to: {tmp_path / 'models'}}}\n")
    return ["--config", str(path), "--runs", str(tmp_path)]


def publish(folder: Path, content: str, score: float | None) -> None:
    def build(to: Path) -> None:
        (to / "weights").write_text(content)

    scores = None if score is None else Scores(name="sft", outcomes={"one": 1.0, "other": 2 * score - 1})
    Registry(folder).add("navigator", build, f"holds {content}", scores)


def lines(words: list[str]) -> list[list[str]]:
    shown = CliRunner().invoke(cli.app, words)
    assert shown.exit_code == 0, shown.output
    return [line.split() for line in shown.output.splitlines()]


def test_versions_are_listed_with_their_scores_and_the_one_that_rollback_goes_to(
    publishing: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "published" / "navigator"
    for content, score in (("a", None), ("b", 0.5), ("c", 0.75)):
        publish(folder, content, score)
    assert lines(["versions", *publishing]) == [
        ["1", "not", "scored", "holds", "a"],
        ["2", "rollback", "greedy", "50.0%", "of", "2", "holds", "b"],
        ["3", "current", "greedy", "75.0%", "of", "2", "holds", "c"],
    ]
    assert lines(["rollback", *publishing]) == [["navigator:", "version", "2", "is", "back", "(holds", "b)"]]
    assert [line[:2] for line in lines(["versions", *publishing])] == [
        ["1", "rollback"],
        ["2", "current"],
        ["3", "greedy"],
    ]


def test_where_nothing_is_published_versions_says_so(publishing: list[str]) -> None:
    (told,) = lines(["versions", *publishing, "--role", "executor"])
    assert " ".join(told).startswith("executor: nothing is published in")


def test_where_there_is_nothing_to_roll_back_to_versions_says_so(publishing: list[str], tmp_path: Path) -> None:
    publish(tmp_path / "run" / "published" / "navigator", "a", 1.0)
    only, told = lines(["versions", *publishing])
    assert only[:2] == ["1", "current"]
    assert "no version before the current one" in " ".join(told)


@pytest.mark.parametrize("command", ["versions", "rollback"])
def test_only_roles_that_are_trained_have_versions(command: str) -> None:
    refused = CliRunner().invoke(cli.app, [command, "--role", "cook"])
    assert refused.exit_code == 2
    assert "cook" in refused.output
    assert "navigator" in refused.output
