"""The commands of a training: what they take, and how they end when something is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.running import entry
from training.scale import budget
from training.stages import dpo, sft

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
