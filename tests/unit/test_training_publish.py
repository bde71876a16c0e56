"""Weights are published only if they are better and load; the weights before them can be had back."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from evaluation.estimates import Estimate
from reasonflux.errors import InvalidRequest, NotFound
from training.corpus import Turn
from training.reporting import model_card
from training.reporting.model_card import Card, Score
from training.reporting.scores import Scores, compare, gate
from training.stages import publish, scratch
from training.stages.publish import PublishConfig, WeightsUnusable
from training.weights.registry import Registry
from training.weights.tokenizer import train_tokenizer

SHAPE = scratch.ModelShape(hidden=16, layers=1, heads=1, feed_forward=32, positions=64)
ANY = PublishConfig(minimal_gain=-1)


def scores(name: str, *outcomes: float) -> Scores:
    return Scores(name=name, outcomes={f"p{n}": outcome for n, outcome in enumerate(outcomes)})


def card(**changes: object) -> Card:
    told: dict[str, object] = {
        "title": "navigator",
        "summary": "Plans trajectories.",
        "use": "`vllm serve`",
        "data": ("the ladder's training split",),
        "not_trained_on": ("any benchmark file",),
        "recipe": ("DPO on 1,204 pairs",),
        "scores": (Score(name="depth 1|2", right=Estimate(n=500, mean=0.978, low=0.964, high=0.99)),),
        "scores_on": "Held-out problems.",
        "limits": ("English only",),
    }
    return Card.model_validate({**told, **changes})


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    texts = [(Turn("user", f"say {n}"), Turn("assistant", f'{{"n":"{n}"}}', learn=True)) for n in range(10, 60)]
    return train_tokenizer(texts, size=300, sample=50)


@pytest.fixture
def trained(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> dict[int, Path]:
    """Three trainings that ended with other weights, by their seeds."""
    folders = {seed: tmp_path / "runs" / str(seed) / "navigator" for seed in (1, 2, 3)}
    for seed, folder in folders.items():
        publish.save_weights(scratch.build(SHAPE, tokenizer, seed), tokenizer, folder / "weights")
    return folders


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- the gate -------------------------------------------------------------------------------------------------------

OUTCOMES = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 0.25, 1.0])), min_size=1)


@settings(max_examples=60, deadline=None)
@given(OUTCOMES, st.floats(-1, 1), st.sampled_from([0.5, 0.9, 0.99]), st.booleans())
def test_the_gate_opens_exactly_for_what_is_better(
    pairs: list[tuple[float, float]], minimal_gain: float, confidence: float, proven: bool
) -> None:
    previous, new = scores("before", *(a for a, _ in pairs)), scores("after", *(b for _, b in pairs))
    decision = gate(previous, new, minimal_gain, confidence, proven=proven)
    found = decision.difference
    assert found is not None
    assert found.mean == pytest.approx(new.mean - previous.mean)
    assert found.low <= found.mean <= found.high
    assert decision.publish == (found.mean >= minimal_gain and found.high >= 0 and (found.low > 0 or not proven))
    assert str(len(pairs)) in decision.reason


@settings(max_examples=40, deadline=None)
@given(OUTCOMES)
def test_the_difference_turns_its_sign_with_the_sides_and_forgets_the_order(pairs: list[tuple[float, float]]) -> None:
    one, other = scores("one", *(a for a, _ in pairs)), scores("other", *(b for _, b in pairs))
    there, back = compare(one, other), compare(other, one)
    assert there.mean == pytest.approx(-back.mean)
    assert (there.gained, there.lost) == (back.lost, back.gained)
    turned = Scores(name="one", outcomes=dict(reversed(one.outcomes.items())))
    assert compare(turned, other) == there


@settings(max_examples=40, deadline=None)
@given(OUTCOMES, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_bar_never_closes_the_gate(pairs: list[tuple[float, float]], bar: float, lower: float) -> None:
    assume(lower <= bar)
    previous, new = scores("before", *(a for a, _ in pairs)), scores("after", *(b for _, b in pairs))
    assert gate(previous, new, lower).publish >= gate(previous, new, bar).publish


def test_the_reason_says_the_figures_either_way() -> None:
    before, after = scores("sft", *[1.0] * 50, *[0.0] * 50), scores("dpo.1", *[1.0] * 70, *[0.0] * 30)
    assert gate(before, after, 0.01).reason.startswith("dpo.1 over sft: +20.0 points (95% interval +1")
    assert gate(before, after, 0.01).reason.endswith("on 100 problems, 20 gained, 0 lost; better")
    assert "at least +25.0 points are asked for" in gate(before, after, 0.25).reason
    worse = gate(after, before, -1)
    assert not worse.publish
    assert "worse: the interval lies below 0" in worse.reason


def test_a_gain_within_the_noise_is_told_as_such_and_refused_where_proof_is_asked() -> None:
    before = scores("sft", *[1.0] * 50, *[0.0] * 50)
    after = scores("dpo.1", *[0.0] * 9, *[1.0] * 52, *[0.0] * 39)
    assert gate(before, after, 0.01).reason.endswith("not worse; the interval holds 0")
    decision = gate(before, after, 0.01, proven=True)
    assert not decision.publish
    assert "not proven" in decision.reason


def test_a_single_pair_alike_proves_nothing() -> None:
    found = compare(scores("a", 0), scores("b", 1))
    assert found.low < 0 < found.mean == found.high == 1


def test_scores_on_other_problems_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"not scored on the same problems: 0 only in the first, 1 only"):
        gate(scores("a", 1, 0), scores("b", 1, 0, 1), 0)


# --- versions -------------------------------------------------------------------------------------------------------


def test_only_better_weights_are_switched_to(
    tmp_path: Path, trained: dict[int, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    registry, config = Registry(tmp_path / "registry"), PublishConfig(minimal_gain=0.1)
    first, better = scores("sft", *[0.0] * 20), scores("dpo.1", *[1.0] * 20)
    assert publish.publish_if_better(config, "navigator", trained[1], registry, first, None, card()).publish
    assert not publish.publish_if_better(config, "navigator", trained[2], registry, first, None, card()).publish
    assert weights(registry.link) == weights(trained[1] / "weights")
    assert publish.publish_if_better(config, "navigator", trained[3], registry, better, None, card()).publish
    assert weights(registry.link) == weights(trained[3] / "weights")
    assert "dpo.1 over sft: +100.0 points" in (registry.link / "README.md").read_text()
    assert "not published: sft over sft: +0.0 points" in capsys.readouterr().out
    assert [(version.number, version.replaced) for version in registry.versions()] == [(1, None), (2, 1)]


def test_what_was_published_last_is_what_new_weights_must_beat(tmp_path: Path, trained: dict[int, Path]) -> None:
    """A run that trains again after it has published: what it measured before the first one is beaten easily."""
    registry, config = Registry(tmp_path / "registry"), PublishConfig(minimal_gain=0.1)
    shipped, first, second = scores("old", *[0.0] * 20), scores("dpo.1", *[1.0] * 20), scores("dpo.1", *[0.5] * 20)
    assert publish.publish_if_better(config, "navigator", trained[1], registry, first, shipped, card()).publish
    assert not publish.publish_if_better(config, "navigator", trained[2], registry, second, shipped, card()).publish
    elsewhere = Scores(name="old", outcomes={f"q{n}": 0.0 for n in range(20)})
    asked = Scores(name="dpo.1", outcomes={f"q{n}": 0.5 for n in range(20)})
    assert publish.publish_if_better(config, "navigator", trained[2], registry, asked, elsewhere, card()).publish


def test_the_same_weights_again_make_no_new_version(tmp_path: Path, trained: dict[int, Path]) -> None:
    registry, first = Registry(tmp_path / "registry"), scores("sft", 1, 0)
    for _ in range(2):
        decision = publish.publish_if_better(
            PublishConfig(minimal_gain=0.1), "navigator", trained[1], registry, first, None, card()
        )
        assert decision.publish
    assert len(registry.versions()) == 1


def test_rollback_goes_to_what_was_current_before(tmp_path: Path, trained: dict[int, Path]) -> None:
    registry = Registry(tmp_path / "registry", copy=tmp_path / "models" / "navigator")
    for seed in (1, 2):
        publish.publish("navigator", trained[seed], registry)
    assert registry.rollback().number == 1
    publish.publish("navigator", trained[3], registry)
    assert registry.rollback().number == 1, "version 2 was rolled back from before"
    assert registry.copy is not None
    assert weights(registry.link) == weights(registry.copy) == weights(trained[1] / "weights")
    with pytest.raises(NotFound, match="no version before 1"):
        registry.rollback()


def test_rollback_keeps_what_somebody_else_has_put_into_the_plain_folder(
    tmp_path: Path, trained: dict[int, Path]
) -> None:
    target = tmp_path / "models" / "navigator"
    registry = Registry(tmp_path / "registry", target)
    publish.publish("navigator", trained[1], registry)
    rmtree(target)
    copytree(trained[2] / "weights", target)
    assert registry.rollback().number == 1
    assert weights(target) == weights(trained[1] / "weights")
    assert weights(registry.at(2)) == weights(trained[2] / "weights")


def test_a_plain_folder_keeps_what_was_in_it_as_a_version(tmp_path: Path, trained: dict[int, Path]) -> None:
    target = tmp_path / "models" / "navigator"
    copytree(trained[1] / "weights", target)
    publish.publish("navigator", trained[2], target)
    assert weights(target) == weights(trained[2] / "weights")
    assert AutoModelForCausalLM.from_pretrained(target).config.hidden_size == 16
    Registry(trained[2].parent / "published" / "navigator", target).rollback()
    assert weights(target) == weights(trained[1] / "weights")
    assert not list(target.parent.glob("*.*")), "nothing half done lies beside it"


def test_published_weights_without_scores_are_not_written_over(tmp_path: Path, trained: dict[int, Path]) -> None:
    target = tmp_path / "models" / "navigator"
    copytree(trained[1] / "weights", target)
    registry, new = Registry(tmp_path / "registry", target), scores("dpo.1", 1, 1)
    with pytest.raises(InvalidRequest, match="nothing says how good the published navigator is"):
        publish.publish_if_better(ANY, "navigator", trained[2], registry, new, None, card())
    assert weights(target) == weights(trained[1] / "weights")
    assert publish.publish_if_better(ANY, "navigator", trained[2], registry, new, scores("old", 0, 1), card()).publish


# --- refused --------------------------------------------------------------------------------------------------------


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _truncated(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(weights(folder)[:-100])


def _without_a_layer(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _without_end(folder: Path) -> None:
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        path.write_text("\n".join(line for line in path.read_text().splitlines() if "eos_token_id" not in line))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (_without_template, "chat_template is not set"),
        (_truncated, "incomplete"),
        (_without_a_layer, "weights do not fit its config: model.layers.0.mlp.up_proj"),
        (_without_end, "no token ends a reply"),
    ],
)
def test_what_does_not_load_is_not_switched_to(
    tmp_path: Path, trained: dict[int, Path], broken: Callable[[Path], None], why: str
) -> None:
    registry = Registry(tmp_path / "registry")
    publish.publish("navigator", trained[1], registry)
    broken(trained[2] / "weights")
    with pytest.raises(WeightsUnusable, match=f"cannot be served: .*{why}"):
        publish.publish("navigator", trained[2], registry)
    assert weights(registry.link) == weights(trained[1] / "weights")
    assert len(registry.versions()) == 1


def test_weights_above_the_limit_are_refused(tmp_path: Path, trained: dict[int, Path]) -> None:
    with pytest.raises(InvalidRequest, match="more than the 1000 that may be published"):
        publish.publish("navigator", trained[1], tmp_path / "navigator", max_bytes=1000)
    with pytest.raises(WeightsUnusable, match="no safetensors"):
        publish.publish("navigator", tmp_path / "nothing", tmp_path / "navigator")
    assert not (tmp_path / "navigator").exists()


def test_checkpoints_and_optimizer_states_stay_behind(tmp_path: Path, trained: dict[int, Path]) -> None:
    source = trained[1] / "weights"
    torch.save({"step": 1}, source / "optimizer.pt")
    (source / "checkpoint-10").mkdir()
    publish.publish("navigator", trained[1], tmp_path / "navigator")
    assert not {"optimizer.pt", "checkpoint-10"} & {path.name for path in (tmp_path / "navigator").iterdir()}


# --- adapters -------------------------------------------------------------------------------------------------------


def test_a_lora_adapter_is_published_when_it_fits_its_base(tmp_path: Path, trained: dict[int, Path]) -> None:
    base, adapter = trained[1] / "weights", tmp_path / "dpo.1"
    lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(adapter)
    registry = Registry(tmp_path / "registry")
    publish.publish("navigator", adapter, registry, base=str(base))
    assert {path.name for path in registry.link.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}

    path = adapter / "adapter_config.json"
    path.write_text(path.read_text().replace("q_proj", "k_proj"))
    with pytest.raises(WeightsUnusable, match="does not fit its base"):
        publish.publish("navigator", adapter, registry, base=str(base))


# --- the card -------------------------------------------------------------------------------------------------------


def test_the_card_says_everything_that_a_user_must_know() -> None:
    text = model_card.render(card(base_model="Qwen/Qwen2.5-7B"))
    for said in (
        'base_model: "Qwen/Qwen2.5-7B"',
        "## Data\n- the ladder's training split",
        "Not trained on:\n- any benchmark file",
        "- DPO on 1,204 pairs",
        r"| depth 1\|2 | 500 | 97.8% (96.4–99.0) |",
        "## Limits\n- English only",
    ):
        assert said in text
    assert "before |" not in text


@pytest.mark.parametrize("left_out", ["data", "not_trained_on", "recipe", "scores", "limits"])
def test_a_card_that_leaves_something_out_is_refused(left_out: str) -> None:
    with pytest.raises(ValidationError):
        card(**{left_out: ()})
