"""`make train-tiny` at the smallest size: both roles at once, published, and finished at once when run again."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from reasonflux.errors import InvalidRequest
from training import settings, tiny

LIBRARY = Path(__file__).resolve().parents[2] / "services" / "template-store" / "library"
MICRO = """
seed: 1
tokenizer: {size: 600, sample: 50}
mixture: {depths: [1]}
roles:
  navigator: {shape: &small {hidden: 32, layers: 1, heads: 1, feed_forward: 64}, recipe: &short {tokens: 20_000}}
  executor: {shape: *small, recipe: *short}
"""


def test_the_whole_run_publishes_weights_that_load(tmp_path: Path) -> None:
    config, runs, models = tmp_path / "micro.yaml", tmp_path / "runs", tmp_path / "models"
    config.write_text(MICRO.replace("tokens: 20_000", "tokens: 20_000, report_every: 5"))
    tiny.run(config, LIBRARY, runs, models)
    for role in ("navigator", "executor"):
        model = Qwen2ForCausalLM.from_pretrained(models / role)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(models / role)
        assert model.config.vocab_size == len(tokenizer)
        assert model.config.eos_token_id == tokenizer.eos_token_id
    curves = {role: (runs / "micro" / role / "curve.csv").read_text() for role in ("navigator", "executor")}
    tiny.run(config, LIBRARY, runs, models)
    assert curves == {role: (runs / "micro" / role / "curve.csv").read_text() for role in curves}


@pytest.mark.parametrize(
    "text", ["seed: one", "roles: {conductor: {}}", "{", "roles: {navigator: {recipe: {token: 1}}}"]
)
def test_a_config_that_does_not_fit_is_refused_with_its_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"bad\.yaml"):
        settings.load(path)


def test_the_shipped_config_is_sound() -> None:
    config = settings.load(Path(__file__).resolve().parents[2] / "training" / "configs" / "tiny-cpu.yaml")
    assert set(config.roles) == {"navigator", "executor"}
