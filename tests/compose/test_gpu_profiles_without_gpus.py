"""Profiles gpu-pair and gpu without GPUs or the official image: the CPU engine stands in, the weights are a folder."""

import json
from collections.abc import Iterator
from itertools import islice

import pytest
from composed import ROOT, Composed, composed_stack, why_not

from evaluation.ladder import Split, generate
from reasonflux.client import NavigatorClient

pytestmark = [pytest.mark.timeout(6000), pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

OWN_WEIGHTS = {
    "MODELS_DIR": str(ROOT / "models/reasonflux-tiny"),
    "GPU_MODEL": "/models/navigator",
    "NAVIGATOR_MODEL": "/models/navigator",
    "EXECUTOR_MODEL": "/models/executor",
    "NAVIGATOR_PROFILE": "compact",
    "EXECUTOR_PROFILE": "compact",
    "GPU_MAX_MODEL_LEN": "2048",
    "ENGINE_MEMORY": "4g",
}
ASK = """
import json, os, urllib.request as u
key = os.environ["REASONFLUX_EXECUTOR_ENGINE_KEY"]
for role in ("navigator", "executor"):
    asked = u.Request(f"http://{role}-engine:8000/v1/models", headers={"Authorization": f"Bearer {key}"})
    print(json.dumps([each["id"] for each in json.load(u.urlopen(asked, timeout=9))["data"]]))
"""
PROBLEMS = [*islice(generate(Split.HELDOUT, [1, 2], seed=20), 4)]


def started(profile: str, request: pytest.FixtureRequest) -> Iterator[Composed]:
    if reason := why_not():
        pytest.skip(reason)
    folder = request.getfixturevalue("tmp_path_factory").mktemp(profile)
    phases = request.getfixturevalue("phases")
    settings = {"COMPOSE_PROFILES": profile, **OWN_WEIGHTS}
    override = ROOT / "tests/compose/without-gpus.yml"
    with composed_stack(folder, phases, settings, [override], first=["navigator-engine"]) as stack:
        yield stack


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Composed]:
    yield from started("gpu-pair", request)


@pytest.fixture
def one_engine(request: pytest.FixtureRequest) -> Iterator[Composed]:
    yield from started("gpu", request)


def served(stack: Composed) -> list[list[str]]:
    """What the engines say that they serve, as the executor reaches them: the navigator's, then the executor's."""
    answer = stack.compose("exec", "-T", "executor-gpu", "python", "-c", ASK)
    return [json.loads(line) for line in answer.splitlines()]


def engine_keeps_to_its_volume(stack: Composed, engine: str) -> None:
    assert stack.inside(engine, "id -u").strip() == "2000"
    assert stack.inside(engine, "touch /written 2>/dev/null || echo refused").strip() == "refused"
    assert stack.inside(engine, "touch /models/written 2>/dev/null || echo refused").strip() == "refused"
    assert stack.inside(engine, "touch ~/.cache/mine && echo written").strip() == "written"


async def test_a_model_for_each_role_solves_from_a_folder_of_ones_own(pair: Composed) -> None:
    assert served(pair) == [["reasonflux-navigator"], ["reasonflux-executor"]]
    engine_keeps_to_its_volume(pair, "navigator-engine-gpu")
    key = pair.compose("exec", "-T", "navigator-gpu", "reasonflux", "keys", "create", "ladder").strip()
    async with NavigatorClient.open(pair.url, key=key) as client:
        with pair.phase(f"{len(PROBLEMS)} ladder problems, one after the other"):
            answers = [(await client.solve(problem.text)).answer for problem in PROBLEMS]
    assert sum(answer == problem.answer for answer, problem in zip(answers, PROBLEMS, strict=True)) >= 3


def test_one_engine_answers_to_both_roles(one_engine: Composed) -> None:
    both = ["reasonflux-navigator", "reasonflux-executor"]
    assert served(one_engine) == [both, both]
    engine_keeps_to_its_volume(one_engine, "engine-gpu")
