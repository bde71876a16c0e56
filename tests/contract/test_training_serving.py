"""Engines for given weights: real vLLM, and rollouts and rewards on it with the shipped weights."""

import importlib.util
import sys
from itertools import islice
from pathlib import Path

import pytest
from embedded import ROOT, WEIGHTS, Embedded

from evaluation.ladder import Split, generate
from reasonflux.engine import OpenAIEngine, engine_http
from reasonflux.errors import EngineRefused, InvalidRequest
from reasonflux.local import record
from reasonflux.local.process import Stack
from reasonflux.local.stack import HttpHealth, Process
from reasonflux.testing.fake_engine import fake_openai_app
from reasonflux.testing.serving import served
from template_store import library as templates
from training.carrying import ByName, CarryConfig, carrying
from training.records import Rewarded, Rollout
from training.running.ledger import read
from training.similar import LadderVariants, from_ladder
from training.stages import rewards, rollouts
from training.stages.rewards import RewardConfig
from training.stages.rollouts import RolloutConfig
from training.weights.serving import EngineRef, digest, serve

LIBRARY = ROOT / "services" / "template-store" / "library"


async def test_a_server_that_runs_already_is_used_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    async with served(fake_openai_app(models=("qwen",))) as url:
        ref = EngineRef(url=f"{url}/v1", model="qwen", key_env="SOME_KEY", timeout=9)
        async with serve(ref, tmp_path / "no weights", tmp_path) as config:
            assert (config.url, config.model, config.key, config.timeout) == (f"{url}/v1", "qwen", "secret", 9)
    assert record.read(tmp_path / "navigator") is None


async def test_what_the_server_does_not_offer_and_what_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    async with served(fake_openai_app(models=("qwen",))) as url:
        with pytest.raises(EngineRefused, match="does not offer"):
            async with serve(EngineRef(url=f"{url}/v1", model="llama"), tmp_path, tmp_path):
                raise AssertionError("it was served")
        with pytest.raises(InvalidRequest, match="NO_SUCH_KEY"):
            async with serve(EngineRef(url=f"{url}/v1", model="qwen", key_env="NO_SUCH_KEY"), tmp_path, tmp_path):
                raise AssertionError("it was served")
    with pytest.raises(InvalidRequest, match="no weights"):
        async with serve(EngineRef(), tmp_path / "nothing", tmp_path):
            raise AssertionError("it was served")


def test_the_digest_follows_the_weights_and_not_their_folder(tmp_path: Path) -> None:
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / "model.safetensors").write_bytes(content)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


async def left_behind(folder: Path) -> record.Record:
    """A process that a killed run left in its folder."""
    async with served(fake_openai_app()) as url:
        sleeper = Process(
            name="navigator-engine",
            title="sleeper",
            command=(sys.executable, "-c", "import time; time.sleep(600)"),
            health=HttpHealth(f"{url}/v1/models"),
            url=url,
            port=0,
            port_setting="",
        )
        left = await Stack(folder, (sleeper,)).start()
    assert len(left.alive) == 1
    return left


@pytest.mark.vllm
async def test_vllm_serves_the_weights_under_their_own_name_and_what_was_left_behind_is_gone(
    tmp_path: Path,
) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed: make install")
    weights = WEIGHTS / "navigator"
    said: list[str] = []
    left = await left_behind(tmp_path / "navigator")
    async with serve(EngineRef(), weights, tmp_path, say=said.append) as config, engine_http(config) as http:
        assert config.model == f"navigator-{digest(weights)}"
        assert await OpenAIEngine(http, config).models() == (config.model,)
        running = record.read(tmp_path / "navigator")
        assert running is not None
        assert len(running.alive) == 1
        assert not left.alive
    assert not running.alive
    assert (tmp_path / "navigator" / "navigator-engine.log").stat().st_size > 0
    assert "ready after" in said[-1]


@pytest.mark.vllm
async def test_rollouts_and_rewards_on_the_shipped_weights(embedded: Embedded, tmp_path: Path) -> None:
    ladder = list(islice(generate(Split.TRAIN, (1, 2), seed=5), 4))
    refs = [
        EngineRef(url=f"{embedded.url(f'{role}_engine')}/v1", model=f"reasonflux-tiny-{role}")
        for role in ("navigator", "executor")
    ]
    library = ByName(templates.read(LIBRARY))
    async with (
        serve(refs[0], tmp_path, tmp_path) as navigator,
        serve(refs[1], tmp_path, tmp_path) as executor,
        engine_http(navigator, executor) as http,
        carrying(CarryConfig(calculators=1), OpenAIEngine(http, executor), executor.model, library) as carrier,
    ):
        problems, engine = [from_ladder(problem) for problem in ladder], OpenAIEngine(http, navigator)
        config = RolloutConfig(samples=2, temperature=1.0)
        path = await rollouts.run(config, problems, engine, navigator.model, tmp_path, carrier)
        path = await rewards.run(RewardConfig(), path, LadderVariants(ladder), 2, carrier, tmp_path)
    found = list(read(path, Rewarded))
    assert len(found) == 8
    assert all(isinstance(one.rollout, Rollout) for one in found)
    assert all(len(one.trials) == 2 for one in found if one.rollout.trajectory is not None)
    assert any(one.reward > 0 for one in found if one.rollout.sample == 0)
