"""What a config that does not fit is refused with: the file and every wrong field, in words of the file."""

from pathlib import Path

import pytest

from reasonflux.errors import InvalidRequest
from training import settings
from training.running.sections import section
from training.scale.budget import BudgetConfig
from training.stages.tuning import DpoConfig, SftConfig
from training.studies.binding import BindingStudy

STARTED = "start: weights\n"


def refused(tmp_path: Path, text: str) -> InvalidRequest:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidRequest) as told:
        settings.load(path)
    return told.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STARTED + "seed: one", "seed: should be a whole number"),
        (STARTED + "dpo: {lr: fast}", "dpo.lr: should be a number"),
        (STARTED + "profile: tiny", "profile: should be 'compact' or 'instruct'"),
        (STARTED + "iterations: -1", "iterations: should be greater than or equal to 0"),
        (STARTED + "problems: {depths: 3}", "problems.depths: should be a list"),
        (STARTED + "publish: {}", "publish.to: is missing"),
        (STARTED + "dpo: {loss_type: [sigmoid, ipos]}", "dpo.loss_type.1: should be 'sigmoid', 'sft', 'ipo'"),
        ("roles: {conductor: {}}", "roles.conductor: the name should be 'navigator' or 'executor'"),
        ("roles: {navigator: 3}", "roles.navigator: should hold fields"),
        ("1: 3\n" + STARTED, "the name 1 should be text"),
        ("", "should hold fields"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_what_it_should_be(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).failure.message.startswith(f"{tmp_path / 'bad.yaml'}: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("problms: {}", "problms: unknown field, did you mean problems?"),
        ("dpo: {lora: {rnk: 3}}", "dpo.lora.rnk: unknown field, did you mean rank?"),
        ("roles: {navigator: {recipe: {token: 1}}}", "navigator.recipe.token: unknown field, did you mean tokens?"),
        ("corpus: {sources: {ladder: {mixture: {depth: [1]}}}}", "mixture.depth: unknown field, did you mean depths?"),
        ("dpo: {zebra: 3}", "dpo.zebra: unknown field"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text if "roles" in text else f"{STARTED}{text}").failure.message.endswith(said)


def test_every_wrong_field_is_named_and_nothing_of_pydantic(tmp_path: Path) -> None:
    error = refused(tmp_path, STARTED + "seed: one\ndpo: {lora: {targets: 5}}\nrollouts: {sample: 3}")
    fields = {fault.field for fault in error.faults}
    assert fields == {"seed", "dpo.lora.targets", "rollouts.sample"}
    assert all(field in error.failure.message for field in fields)
    assert "pydantic" not in str(error)
    assert "RunConfig" not in str(error)
    assert "\n" not in str(error)


def test_what_a_union_could_be_stands_under_one_field(tmp_path: Path) -> None:
    error = refused(tmp_path, STARTED + "dpo: {lora: {targets: 5}}")
    assert error.failure.message.endswith(": dpo.lora.targets: should be 'all-linear' or should be a list")


def test_of_very_many_faults_the_first_are_told_and_how_many_more_there_are(tmp_path: Path) -> None:
    unknown = "".join(f"zebra{number}: 1\n" for number in range(20))
    error = refused(tmp_path, STARTED + unknown)
    assert len(error.faults) == 20
    assert "zebra7" in error.failure.message
    assert error.failure.message.endswith("; and 12 more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1", "a run has one of `roles` (from scratch), `sft` (a pretrained model) and `start` (weights)"),
        (STARTED + "corpus: {max_tokens: 20}", "corpus: max_tokens needs a tokenizer to count with"),
    ],
)
def test_what_does_not_fit_together_is_said_plainly(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).failure.message == f"{tmp_path / 'bad.yaml'}: {said}"


def test_a_file_that_is_no_yaml_is_refused_with_the_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "seed: 1\nroles: [1\nstart: x\n")
    assert error.failure.message == f"{tmp_path / 'bad.yaml'}:3: this is no YAML: expected ',' or ']', but got ':'"


def test_a_section_is_refused_with_its_fields_as_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("dpo: {lr: fast, lora: {rnk: 3}}\nsft: {model: m, packing: true}\nbudget: {}")
    with pytest.raises(InvalidRequest) as told:
        section(path, "dpo", DpoConfig)
    said = "dpo.lr: should be a number; dpo.lora.rnk: unknown field, did you mean rank?"
    assert told.value.failure.message == f"{path}: {said}"
    with pytest.raises(InvalidRequest, match=r"bad\.yaml: sft: packing needs attention"):
        section(path, "sft", SftConfig)
    with pytest.raises(InvalidRequest, match=r"budget\.architecture: is missing"):
        section(path, "budget", BudgetConfig)


def test_a_study_is_refused_with_its_fields_too(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("binding: {recall: {base: {shape: {hiden: 64}}}}")
    with pytest.raises(InvalidRequest, match=r"binding\.recall\.base\.shape\.hiden: .* did you mean hidden"):
        section(path, "binding", BindingStudy)
