"""A run on problems of one's own: what is sampled and held out, what is similar, and what is looked for early."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.estimates import Estimate
from evaluation.ladder import Split
from evaluation.ladder.problem import split_of
from reasonflux.errors import EngineError, InvalidRequest
from reasonflux.testing.fake_engine import Call, fake_openai_app
from reasonflux.testing.serving import served
from training.course import Course
from training.problems import Problems
from training.reporting.cards import card
from training.settings import RunConfig, load
from training.similar import NoSimilar
from training.stages.evaluate import Evaluation, Outcome

LIBRARY = Path("services/template-store/library")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    rows = [{"problem": f"Add {n} and {n + 1}.", "answer": 2 * n + 1} for n in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(**told: Any) -> RunConfig:
    return RunConfig.model_validate({"start": "tuned", "executor": "carried", **told})


def own(dataset: Path, **told: Any) -> RunConfig:
    return config(problems={"dataset": dataset, "count": 30}, **{"similar": {"source": "none"}, **told})


# --- which problems -------------------------------------------------------------------------------------------------


def test_rounds_sample_one_side_and_evaluations_ask_the_other(dataset: Path) -> None:
    asked = Problems(own(dataset))
    sampled, heldout = asked.of_round(1), asked.heldout()
    assert {split_of(one.text) for one in sampled} == {Split.TRAIN}
    assert {split_of(one.text) for one in heldout} == {Split.HELDOUT}
    assert len(sampled) == 30
    assert 5 < len(heldout) < 40, "about one in five, all of which are fewer than evaluate.count"
    assert asked.heldout_ladder() == []


def test_every_evaluation_with_the_same_section_asks_the_same(dataset: Path) -> None:
    few = own(dataset, evaluate={"count": 4})
    assert Problems(few).heldout() == Problems(few).heldout()
    assert len(Problems(few).heldout()) == 4


def test_an_evaluation_may_ask_another_data_set_than_the_rounds_sample(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(
        "".join(json.dumps({"problem": f"Halve {n}.", "answer": str(n / 2)}) + "\n" for n in range(40)),
    )
    asked = Problems(config(evaluate={"dataset": other}))
    assert all(one.text.startswith("Halve") for one in asked.heldout())
    assert len(asked.ladder(1)) == 600, "the rounds still sample the ladder"


def test_a_data_set_with_nothing_held_out_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    texts = [text for n in range(20) if split_of(text := f"Add {n} and 1.") is Split.TRAIN]
    path.write_text("".join(json.dumps({"problem": text, "answer": "1"}) + "\n" for text in texts))
    course = Course(own(path), tmp_path / "run", LIBRARY)
    with pytest.raises(InvalidRequest, match=r"mine\.jsonl has no problem held out"):
        course.stages()


# --- what is similar ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"similar": {"source": "neighbours"}}, "needs a dataset"),
        ({"similar": {"source": "llm"}}, "engines.writer"),
        ({"similar": {"source": "llm"}, "engines": {"writer": {"model": "instruct"}}}, "engines.writer"),
        ({"problems": {"dataset": "mine.jsonl"}}, "the ladder knows its own"),
    ],
)
def test_a_source_that_the_run_cannot_open_is_refused_with_its_config(told: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        config(**told)


async def test_without_a_source_for_ones_own_problems_an_evaluation_has_none_that_are_similar(dataset: Path) -> None:
    told = own(dataset, similar={"source": "ladder"}, rewards={"on": "own"})
    async with AsyncExitStack() as stack:
        assert isinstance(await Problems(told).similar_to_heldout(stack), NoSimilar)


async def test_an_llm_that_is_served_writes_the_similar_problems(dataset: Path) -> None:
    variants = [f"Add {n} and {n + 3}." for n in range(200, 240)]
    right = {text: str(2 * n + 3) for n, text in zip(range(200, 240), variants, strict=True)}

    def reply(call: Call) -> str:
        told = call.messages[-1].content
        if call.schema_ is not None:
            rows = [{"problem": text, "answer": answer} for text, answer in right.items()]
            return json.dumps({"variants": rows})
        return next(f"So \\boxed{{{answer}}}" for text, answer in right.items() if text in told)

    async with served(fake_openai_app(reply, models=("instruct",))) as url, AsyncExitStack() as stack:
        writer = {"url": f"{url}/v1", "model": "instruct"}
        told = own(dataset, similar={"source": "llm", "count": 2}, engines={"writer": writer})
        problem = Problems(told).of_round(1)[0]
        found = await (await Problems(told).similar_to((), stack)).of(problem, 2)
    assert len(found) == 2
    assert {one.text for one in found} <= set(right)
    assert {split_of(one.text) for one in found} == {Split.TRAIN}


# --- what is looked for early ---------------------------------------------------------------------------------------


def course(tmp_path: Path, **executor: Any) -> Course:
    told = RunConfig.model_validate({"start": weights(tmp_path / "tuned"), "engines": {"executor": executor}})
    return Course(told, tmp_path / "run", LIBRARY)


def weights(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def test_a_server_that_does_not_answer_is_told_before_the_first_stage(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"engines\.executor: .*mend engines\.executor\.url"):
        course(tmp_path, url="http://127.0.0.1:9/v1", model="instruct").look_ahead(["evaluate.sft"])


@pytest.mark.parametrize("role", ["start", "executor"])
def test_given_weights_that_are_not_there_are_told_before_the_first_stage(tmp_path: Path, role: str) -> None:
    there = {name: weights(tmp_path / name) for name in ("start", "executor")}
    told = RunConfig.model_validate(there | {role: tmp_path / "nope"})
    with pytest.raises(InvalidRequest, match=r"there are no weights \(.*\) in .*nope"):
        Course(told, tmp_path / "run", LIBRARY).look_ahead(["rollouts.1"])


def test_a_corpus_that_nothing_would_learn_from_is_refused() -> None:
    with pytest.raises(ValidationError, match="this run has no `sft`"):
        config(corpus={"sources": {"ladder": {}}})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no data set"),
        ("\n", "is empty"),
        ('{"problem": "Add 1 and 1.",', "line 1: this is no JSON"),
        ('{"problem": "Add 1 and 1."}', "line 1: no problem and answer"),
    ],
)
def test_a_data_set_that_cannot_be_read_says_how(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "mine.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidRequest, match=told):
        Problems(own(path)).heldout()


def test_a_study_given_as_a_run_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match="reasonflux train study depth"):
        load(Path("training/configs/studies/depth.yaml"))


def test_a_key_that_is_not_set_is_told_before_the_first_stage(tmp_path: Path) -> None:
    unset = course(tmp_path, url="http://127.0.0.1:9/v1", model="instruct", key_env="NO_SUCH_KEY_IS_SET")
    with pytest.raises(InvalidRequest, match="NO_SUCH_KEY_IS_SET is not set"):
        unset.look_ahead(["sft", "rollouts.1"])


def test_a_run_in_which_nobody_executes_is_told_before_the_first_stage(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing says who the executor is"):
        course(tmp_path).look_ahead(["evaluate.sft"])


def test_stages_that_ask_no_engine_look_for_none(tmp_path: Path) -> None:
    course(tmp_path, url="http://127.0.0.1:9/v1", model="instruct").look_ahead(["corpus", "sft", "pairs.1"])


# --- the published weights ------------------------------------------------------------------------------------------


def test_published_weights_are_measured_without_training_anything_first(tmp_path: Path) -> None:
    published = tmp_path / "models"
    (published / "navigator").mkdir(parents=True)
    (published / "navigator" / "config.json").write_text("{}")
    roles = {"navigator": {}, "executor": {}}
    told = RunConfig.model_validate({"roles": roles, "iterations": 0, "publish": {"to": published}})
    stages = {stage.name: stage for stage in Course(told, tmp_path / "run", LIBRARY).stages()}
    assert stages["evaluate.published"].needs == ()
    other = Course(told.model_copy(update={"seed": 2}), tmp_path / "run", LIBRARY).stages()
    assert stages["evaluate.published"].depends != next(s.depends for s in other if s.name == "evaluate.published")


def test_the_card_of_weights_that_were_asked_ones_own_problems_names_them(dataset: Path) -> None:
    outcomes = tuple(Outcome(problem=str(n), depth=0, families=(), right=n > 2, rounds=1, tokens=9) for n in range(10))
    reached = Evaluation(name="dpo.1", outcomes=outcomes)
    told = card(own(dataset, publish={"to": "models/mine"}), "navigator", reached, None)
    assert told.scores_on.startswith("10 held-out problems of mine.jsonl")
    assert [score.name for score in told.scores] == ["all"]
    assert isinstance(told.scores[0].right, Estimate)
    assert told.limits == ("it was measured on problems of mine.jsonl alone",)
    assert "depth" not in reached.told()
