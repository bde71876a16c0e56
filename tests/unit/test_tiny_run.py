"""The from-scratch path at the smallest size: both roles at once, and finished at once when run again."""

from pathlib import Path

import pytest
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from evaluation.ladder import Split
from reasonflux.errors import InvalidRequest
from training import settings
from training.corpus.mixture import DEFAULT, training_problems
from training.course import Course
from training.running.fingerprints import contents
from training.running.pipeline import check
from training.stages import tiny

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "services" / "template-store" / "library"
CONFIGS = sorted((ROOT / "training" / "configs").rglob("*.yaml"))
MICRO = """
seed: 1
tokenizer: {size: 600, sample: 50}
mixture: {depths: [1]}
structure: {conversations: 20}
roles:
  navigator: {shape: &small {hidden: 32, layers: 1, heads: 1, feed_forward: 64}, recipe: &short {tokens: 20_000}}
  executor: {shape: *small, recipe: *short}
"""


def test_both_roles_are_trained_to_weights_that_load(tmp_path: Path) -> None:
    path = tmp_path / "micro.yaml"
    path.write_text(MICRO.replace("tokens: 20_000", "tokens: 20_000, report_every: 5"))
    config, library = settings.load(path), tiny.read_library(LIBRARY)
    tiny.train(config, library, tmp_path / "sft")
    for role in ("navigator", "executor"):
        model = LlamaForCausalLM.from_pretrained(tmp_path / "sft" / role / "weights")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "sft" / role / "weights")
        assert model.config.vocab_size == len(tokenizer)
        assert model.config.eos_token_id == tokenizer.eos_token_id
    curves = {role: (tmp_path / "sft" / role / "curve.csv").read_text() for role in ("navigator", "executor")}
    tiny.train(config, library, tmp_path / "sft")
    assert curves == {role: (tmp_path / "sft" / role / "curve.csv").read_text() for role in curves}


@pytest.mark.parametrize(
    "text",
    [
        "seed: one",
        "roles: {conductor: {}}",
        "{",
        "roles: {navigator: {recipe: {token: 1}}}",
        "seed: 1",
        "{roles: {navigator: {}}, start: weights}",
    ],
)
def test_a_config_that_does_not_fit_is_refused_with_its_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"bad\.yaml"):
        settings.load(path)


@pytest.mark.parametrize(
    "path",
    [path for path in CONFIGS if "accelerate" not in path.parts and path.stem not in ("binding", "depth")],
    ids=lambda path: path.stem,
)
def test_every_config_tells_a_run(path: Path, tmp_path: Path) -> None:
    course = Course(settings.load(path), tmp_path, LIBRARY)
    stages = course.stages()
    check(stages)
    names = [stage.name for stage in stages]
    rounds = [f"{name}.1" for name in ("rollouts", "rewards", "pairs", "dpo")] if course.config.iterations else []
    first = [] if course.config.start else ["sft"] if course.config.roles else ["corpus", "sft"]
    assert names[: len(first) + len(rounds)] == [*first, *rounds]


def test_problems_that_cannot_be_watched_are_refused_before_anything_runs(tmp_path: Path) -> None:
    config = settings.load(ROOT / "training/configs/tiny-cpu.yaml")
    deep = config.problems.model_copy(update={"watched": 10})
    course = Course(config.model_copy(update={"problems": deep}), tmp_path, LIBRARY)
    with pytest.raises(InvalidRequest, match="only 0 problems of depths"):
        course.stages()


def test_the_shipped_config_trains_both_roles_and_publishes_them() -> None:
    config = settings.load(ROOT / "training" / "configs" / "tiny-cpu.yaml")
    assert set(config.roles) == {"navigator", "executor"}
    assert config.publish is not None
    assert config.publish.to == Path("models/reasonflux-tiny")


def test_a_library_without_the_ladders_templates_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(InvalidRequest, match="lacks 48 of the ladder's templates"):
        training_problems({}, Split.TRAIN, 1, DEFAULT)


def test_a_path_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there is no "):
        contents(tmp_path / "problems.jsonl")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        settings.load(tmp_path)
