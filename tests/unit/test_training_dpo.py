"""Preference training at the smallest size: what is fed, what it does to a model, and how it is taken up again."""

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerState

from reasonflux.engine_port import Message
from reasonflux.errors import Conflict, InvalidRequest
from training.corpus import Conversation, Turn
from training.records import Pair, TrainingProblem
from training.running import launching
from training.settings import RunConfig
from training.stages import dpo, pair_data, publish
from training.stages.dpo import DpoConfig, LikelihoodDisplacement, LoraOptions, WatchOfDisplacement
from training.stages.scratch import ModelShape, build
from training.weights import checkpoints, curves
from training.weights.tokenizer import encode, train_tokenizer

SHAPE = ModelShape(hidden=32, layers=2, heads=2, feed_forward=64, positions=256)
QUICK = DpoConfig(
    lr=3e-3, max_steps=16, batch_size=8, warm_up=0.1, eval_every=4, report_every=2, bf16=False, displacement=1e6
)


def pair(n: int, chosen: str = "good", rejected: str = "poor") -> Pair:
    return Pair(
        problem=TrainingProblem(id=f"p{n}", text=f"find {n}", answer=str(n)),
        prompt=(Message(role="user", content=f"find {n}"),),
        chosen=f'{{"plan":"{chosen}"}}',
        rejected=f'{{"plan":"{rejected}"}}',
        chosen_reward=0.9,
        rejected_reward=0.2,
        trials=4,
    )


def conversation(told: Pair, reply: str) -> Conversation:
    return (*(Turn(m.role, m.content) for m in told.prompt), Turn("assistant", reply, learn=True))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    pairs = [pair(n) for n in range(40)]
    return train_tokenizer([conversation(p, r) for p in pairs for r in (p.chosen, p.rejected)], size=300, sample=80)


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    publish.save_weights(build(SHAPE, tokenizer, seed=0), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(pair(n).model_dump_json() for n in range(40)))
    return path


@pytest.fixture(autouse=True)
def _weights_of_no_other_test() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def same(one: Path, other: Path) -> bool:
    first, second = (LlamaForCausalLM.from_pretrained(path, dtype=torch.bfloat16).state_dict() for path in (one, other))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_what_is_trained_is_token_by_token_what_is_served(
    tmp_path: Path, sft: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    talk = (
        Message(role="user", content="find 7"),
        Message(role="assistant", content='{"plan":"poor"}'),
        Message(role="user", content="  no: π ≈ 3 \n"),
    )
    longer = pair(7).model_copy(update={"prompt": talk})
    built = dpo.trainer(QUICK, sft, dpo.tokenizer_in(sft), [pair(1), longer], [pair(2)], tmp_path)
    rows = {tuple(row["prompt_ids"]): row for row in built.train_dataset}
    for told in (pair(1), longer):
        messages = [message.model_dump() for message in told.prompt]
        served = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        row = rows[tuple(served)]
        assert served + row["chosen_ids"] == encode(conversation(told, told.chosen), tokenizer)[0]
        assert served + row["rejected_ids"] == encode(conversation(told, told.rejected), tokenizer)[0]


def test_no_opening_token_is_doubled(tokenizer: PreTrainedTokenizerFast) -> None:
    class Opening(PreTrainedTokenizerFast):  # type: ignore[misc]
        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [self.bos_token_id, *self.encode(text, add_special_tokens=False)]}

    opened = Opening(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<|pad|>", eos_token="<|end|>")
    opened.chat_template = "<|pad|>" + str(tokenizer.chat_template)
    ids = opened(pair_data.rendered(pair(3).prompt, opened))["input_ids"]
    messages = [message.model_dump() for message in pair(3).prompt]
    assert ids == opened.encode(
        opened.apply_chat_template(messages, add_generation_prompt=True, tokenize=False), add_special_tokens=False
    )


def test_leaving_out_the_padding_mask_changes_no_log_prob(
    tmp_path: Path, sft: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    short, long = pair(1), pair(2, chosen="good good good good", rejected="x")
    built = dpo.trainer(QUICK, sft, tokenizer, [short, long], [pair(3)], tmp_path)
    model = built.model
    batch = built.data_collator(list(built.train_dataset))
    unmasked = built.compute_ref_log_probs(model, batch)
    batch["attention_mask"] = (batch["input_ids"] != tokenizer.pad_token_id).long()
    for one, other in zip(unmasked, built.compute_ref_log_probs(model, batch), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_training_prefers_the_chosen_replies_and_keeps_them_likely(tmp_path: Path, sft: Path, pairs: Path) -> None:
    weights = dpo.run(QUICK, sft, pairs, tmp_path / "run")
    measured = [row for row in curves.read(tmp_path / "run") if "heldout_margin" in row]
    first, last = measured[0], measured[-1]
    assert first["step"] == 0
    assert last["heldout_margin"] > 0.1 > abs(first["heldout_margin"])
    assert last["heldout_chosen_logp"] > first["heldout_chosen_logp"]
    assert {"loss", "chosen_reward", "rejected_reward", "margin", "accuracy", "chosen_logp"} <= last.keys()
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1_000
    assert not same(sft, weights)
    loaded = AutoModelForCausalLM.from_pretrained(weights)
    assert loaded.dtype == torch.bfloat16
    assert PreTrainedTokenizerFast.from_pretrained(weights).chat_template


def scripted(rewards: list[float], seen: list[Any] | None = None) -> dpo.HeldoutReward:
    """Rewards told one after the other, whatever the model."""
    left = iter(rewards)

    def told(model: Any, tokenizer: PreTrainedTokenizerFast) -> float:
        assert not model.training
        if seen is not None:
            seen.append({name: value.detach().clone() for name, value in model.state_dict().items()})
        return next(left)

    return told


def test_the_weights_with_the_best_heldout_reward_come_out(tmp_path: Path, sft: Path, pairs: Path) -> None:
    seen: list[Any] = []
    weights = dpo.run(QUICK, sft, pairs, tmp_path / "run", scripted([0.4, 0.6, 0.9, 0.5, 0.7], seen))
    out = LlamaForCausalLM.from_pretrained(weights, dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(value, seen[2][name].to(torch.bfloat16)) for name, value in out.items())
    rows = [row["heldout_reward"] for row in curves.read(tmp_path / "run") if "heldout_reward" in row]
    assert rows == [0.4, 0.6, 0.9, 0.5, 0.7]


def test_a_run_that_only_does_harm_gives_the_starting_weights_and_stops_early(
    tmp_path: Path, sft: Path, pairs: Path
) -> None:
    config = QUICK.model_copy(update={"early_stop": 2})
    weights = dpo.run(config, sft, pairs, tmp_path / "run", scripted([0.65, 0.5, 0.29]))
    assert same(sft, weights)


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_at_its_last_whole_checkpoint(tmp_path: Path, sft: Path, pairs: Path) -> None:
    def dies(model: Any, tokenizer: PreTrainedTokenizerFast) -> float:
        calls.append(0.0)
        if len(calls) == 4:
            raise Killed
        return len(calls) / 10

    calls: list[float] = []
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    dpo.run(QUICK, sft, pairs, whole, scripted([0.1, 0.2, 0.3, 0.4, 0.5]))
    with pytest.raises(Killed):
        dpo.run(QUICK, sft, pairs, broken, dies)
    half = broken / "checkpoints" / "checkpoint-12"
    shutil.copytree(broken / "checkpoints" / "checkpoint-8", half)
    (half / "whole").unlink()
    (half / "model.safetensors").write_bytes(b"half")
    dpo.run(QUICK, sft, pairs, broken, scripted([0.4, 0.5]))
    assert same(whole / "weights", broken / "weights")
    assert [row["step"] for row in curves.read(broken)] == [row["step"] for row in curves.read(whole)]


def test_a_finished_run_is_not_run_again_and_another_one_does_not_take_its_folder(
    tmp_path: Path, sft: Path, pairs: Path
) -> None:
    short = QUICK.model_copy(update={"max_steps": 2})
    weights = dpo.run(short, sft, pairs, tmp_path / "run", scripted([0.1, 0.2]))
    assert dpo.run(short, sft, pairs, tmp_path / "run", scripted([])) == weights
    with pytest.raises(Conflict, match="other settings"):
        dpo.run(short.model_copy(update={"lr": 1e-5}), sft, pairs, tmp_path / "run")


def test_likelihood_displacement_is_warned_of_and_again_when_it_doubles() -> None:
    watch = WatchOfDisplacement(DpoConfig(beta=0.1, displacement=1.0))
    state = TrainerState(global_step=50, is_world_process_zero=True)

    def warned(lost: float, margin: float) -> list[str]:
        logs = {"eval_loss": 0.5, "eval_rewards/chosen": -0.1 * lost, "eval_rewards/margins": margin}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LikelihoodDisplacement)
            watch.on_log(None, state, None, logs)
        return [str(w.message) for w in caught]

    assert warned(lost=-3.0, margin=2.0) == []
    assert warned(lost=0.9, margin=2.0) == []
    assert warned(lost=5.0, margin=-0.1) == []
    assert "step 50: held-out chosen replies lost 4.0 nats" in warned(lost=4.0, margin=2.0)[0]
    assert warned(lost=6.0, margin=3.0) == []
    assert "Lower `lr`" in warned(lost=9.0, margin=4.0)[0]


def test_a_lora_run_gives_whole_weights(tmp_path: Path, sft: Path, pairs: Path) -> None:
    config = QUICK.model_copy(update={"lora": LoraOptions(rank=4, alpha=8), "max_steps": 4, "lr": 1e-2})
    weights = dpo.run(config, sft, pairs, tmp_path / "run", scripted([0.1, 0.2]))
    assert LlamaForCausalLM.from_pretrained(weights).config.hidden_size == SHAPE.hidden
    assert not same(sft, weights)


def test_batches_hold_every_pair_once_and_little_padding() -> None:
    told = [pair(n, chosen="g" * (1 + 37 * n % 200)) for n in range(300)]
    ordered = pair_data.in_batches(told, 8, seed=1)
    assert sorted(p.problem.id for p in ordered) == sorted(p.problem.id for p in told)
    assert ordered == pair_data.in_batches(told, 8, seed=1)
    longest = sum(max(len(p.chosen) for p in ordered[start : start + 8]) * 8 for start in range(0, 296, 8))
    assert longest < 1.15 * sum(len(p.chosen) for p in ordered)


def test_heldout_pairs_are_of_other_problems() -> None:
    told = [pair(n // 3) for n in range(60)]
    learned, measured = pair_data.split(told, heldout=0.2, limit=100)
    assert len(learned) + len(measured) == 60
    assert len(measured) == 12
    assert not {p.problem.id for p in learned} & {p.problem.id for p in measured}


def test_pairs_that_cannot_be_used_say_what_to_do(tmp_path: Path, sft: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    with pytest.raises(InvalidRequest, match="reasonflux train pairs"):
        dpo.run(QUICK, sft, path, tmp_path / "run")
    path.write_text("")
    with pytest.raises(InvalidRequest, match=r"holds no pairs.*sample more trajectories"):
        dpo.run(QUICK, sft, path, tmp_path / "run")
    path.write_text(json.dumps({"prompt": []}))
    with pytest.raises(InvalidRequest, match="line 1"):
        dpo.run(QUICK, sft, path, tmp_path / "run")
    path.write_text("\n".join(pair(1).model_dump_json() for _ in range(3)))
    with pytest.raises(InvalidRequest, match="more problems"):
        dpo.run(QUICK, sft, path, tmp_path / "other")
    path.write_text("\n".join(pair(n, chosen="1234567890" * 3).model_dump_json() for n in range(3)))
    with pytest.raises(InvalidRequest, match="raise max_length"):
        dpo.run(QUICK.model_copy(update={"max_length": 16}), sft, path, tmp_path / "third")
    with pytest.raises(InvalidRequest, match="there are no weights"):
        dpo.run(QUICK, tmp_path / "nowhere", path, tmp_path / "fourth")


def test_a_kill_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    for step, whole in ((4, True), (12, True), (16, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / "whole").touch()
    assert checkpoints.last_whole(tmp_path) == str(tmp_path / "checkpoint-12")
    assert not (tmp_path / "checkpoint-16").exists()


def test_each_loss_has_a_weight() -> None:
    with pytest.raises(ValueError, match="loss_weights needs 1"):
        DpoConfig(loss_type=("sigmoid",))


def test_a_run_starts_it_in_a_process_of_its_own(sft: Path, pairs: Path, tmp_path: Path) -> None:
    config = RunConfig(start=sft, dpo=QUICK.model_copy(update={"max_steps": 2}))
    launching.dpo(config, sft, pairs, tmp_path / "dpo")
    assert (tmp_path / "dpo" / "weights" / "model.safetensors").exists()
