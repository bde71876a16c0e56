"""The library on disk: what is read, and what is refused with which words."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from calculator import evaluate_in_process
from template_store import library
from template_store.cli import app
from template_store.errors import LibraryInvalid
from template_store.quality import validation

RECTANGLE = {
    "id": "rectangle-area",
    "name": "Area of a Rectangle",
    "type": "formula_rule",
    "field": "geometry/rectangles",
    "tags": ["area", "rectangle"],
    "description": "The area of a rectangle from its two sides.",
    "scope": ["Both sides are known and the area is asked for"],
    "pitfalls": ["The sides are in different units"],
    "variables": {"width": "one side", "height": "the other side"},
    "steps": [{"instruction": "Multiply the sides.", "formula": "area = width*height"}],
    "example": {
        "problem": "A rectangle is 3 by 4. What is its area?",
        "bindings": {"width": "3", "height": "4"},
        "answer": "12",
        "check": "answer/width == height",
    },
}


def put(folder: Path, data: dict[str, object], place: str | None = None) -> Path:
    path = folder / (place or f"{data['field']}/{data['id']}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))
    return path


def problems(folder: Path) -> list[tuple[str, str, str]]:
    with pytest.raises(LibraryInvalid) as refused:
        library.read(folder)
    return [(problem.file.name, problem.field, problem.message) for problem in refused.value.problems]


def findings(**changes: object) -> list[tuple[str, str]]:
    template = library.ThoughtTemplate.model_validate({**RECTANGLE, **changes})
    return [(finding.where, finding.message) for finding in validation.validate(template, evaluate_in_process)]


def example(**changes: object) -> dict[str, object]:
    return {**RECTANGLE["example"], **changes}  # type: ignore[dict-item]


def test_a_folder_of_files_becomes_records_ordered_by_id(tmp_path: Path) -> None:
    put(tmp_path, RECTANGLE)
    put(tmp_path, {**RECTANGLE, "id": "box-volume", "name": "Volume of a Box", "field": "geometry"})
    assert [template.id for template in library.read(tmp_path)] == ["box-volume", "rectangle-area"]


def test_a_missing_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "nowhere") == [("nowhere", "", "is not a folder")]
    assert problems(tmp_path)[0][2] == "holds no YAML file"


def test_every_bad_field_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, {**RECTANGLE, "type": "trick", "colour": "red"})
    put(tmp_path, {**RECTANGLE, "id": "two", "tags": []})
    found = {(file, field) for file, field, _ in problems(tmp_path)}
    assert found == {("rectangle-area.yaml", "type"), ("rectangle-area.yaml", "colour"), ("two.yaml", "tags")}


def test_an_unquoted_number_is_refused_with_the_way_to_write_it(tmp_path: Path) -> None:
    put(tmp_path, {**RECTANGLE, "example": example(answer=12)})
    [(_, field, message)] = problems(tmp_path)
    assert field == "example.answer"
    assert message.endswith('quote it: "12"')


def test_a_file_must_lie_where_its_field_and_id_say(tmp_path: Path) -> None:
    put(tmp_path, RECTANGLE, "algebra/area.yaml")
    assert [field for _, field, _ in problems(tmp_path)] == ["id", "field"]


def test_ids_and_names_that_stand_twice_are_refused(tmp_path: Path) -> None:
    put(tmp_path, RECTANGLE)
    put(tmp_path, {**RECTANGLE, "field": "algebra"})
    assert [field for _, field, _ in problems(tmp_path)] == ["id", "name"]


def test_names_that_differ_only_in_case_and_punctuation_are_the_same_name(tmp_path: Path) -> None:
    put(tmp_path, RECTANGLE)
    put(tmp_path, {**RECTANGLE, "id": "other", "name": "area of a  rectangle!"})
    assert [field for _, field, _ in problems(tmp_path)] == ["name"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: a\nid: b\n", "stands twice"),
        ("id: [", "expected"),
        ("- a\n", "dictionary"),
        ("\x00", "special characters"),
        ("? [1, 2]\n: 3\n", "a list or mapping is a key"),
        ("? {a: 1}\n: 3\n", "a list or mapping is a key"),
        ("a: !!timestamp abc\n", "cannot be read"),
        ("a: !!bool abc\n", "cannot be read"),
        ("a: !!set {[1]: }\n", "unhashable"),
        ("a: 2024-13-45\n", "month must be in 1..12"),
        ("a: " + "[" * 5000 + "\n", "cannot be read"),
        ("a: &x b\nc: *x\n", "anchors and aliases are not taken (&x)"),
        ("a: *x\n", "anchors and aliases are not taken (*x)"),
        ("a: 1" + ":01" * 5000 + "\n", "quote it if it is text"),
        ("id: a\n---\nid: b\n", "several documents"),
    ],
)
def test_what_is_not_a_template_is_refused_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    [(file, _, message)] = problems(tmp_path)
    assert file == "odd.yaml"
    assert said in message


def test_half_a_surrogate_pair_is_refused_with_its_file(tmp_path: Path) -> None:
    put(tmp_path, {**RECTANGLE, "description": "a description of half \ud800"}, "a.yaml")
    put(tmp_path, {**RECTANGLE, "\ud800": "x"}, "b.yaml")
    assert [(file, field) for file, field, _ in problems(tmp_path)] == [("a.yaml", "description"), ("b.yaml", "?")]


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    layers = ["l0: &l0 [a, a, a, a, a, a, a, a, a]"]
    layers += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(library.Unreadable, match="anchors and aliases") as refused:
        library.documents("\n".join(layers))
    assert refused.value.place == "line 1"


def test_the_keys_of_a_large_mapping_are_not_compared_pairwise() -> None:
    compared = 0

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    class Loader(library._Loader):
        """With keys that count their comparisons."""

    Loader.add_constructor("!key", lambda loader, node: Key(loader.construct_scalar(node)))
    data = yaml.load("\n".join(f"!key k{n}: v" for n in range(2_000)), Loader=Loader)
    assert len(data) == 2_000
    assert compared < 2_000


def test_yaml_cannot_construct_objects(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("!!python/object/apply:os.getcwd []\n")
    assert "could not determine a constructor" in problems(tmp_path)[0][2]


def test_a_right_example_has_no_findings() -> None:
    assert findings() == []


def test_an_answer_that_the_formulas_do_not_give_is_found() -> None:
    assert ("example.answer", "the formulas give 12, not 13") in findings(example=example(answer="13"))


def test_equal_answers_may_be_written_differently() -> None:
    assert findings(example=example(bindings={"width": "1/2", "height": "3"}, answer="1.5")) == []


def test_a_check_that_is_false_or_holds_for_any_answer_is_found() -> None:
    false = findings(example=example(check="answer == width + height"))
    loose = findings(example=example(check="answer > width"))
    silent = findings(example=example(check="width*height == 12"))
    assert [where for where, _ in false] == ["example.check"]
    assert "also True for the wrong answer" in loose[0][1]
    assert ("example.check", "'width*height == 12' does not mention the answer") in silent


def test_an_unknown_name_is_found_at_its_step() -> None:
    [(where, message)] = findings(
        steps=[{"instruction": "Think."}, {"instruction": "Multiply.", "formula": "area = width*height*depth"}]
    )
    assert where == "steps.1.formula"
    assert "depth" in message


def test_unused_and_overwritten_variables_are_found() -> None:
    unused = findings(steps=[{"instruction": "Go.", "formula": "area = 4*width"}])
    overwritten = findings(steps=[{"instruction": "Go.", "formula": "width = width*height"}])
    assert unused == [("variables.height", "no formula uses it")]
    assert ("steps.0.formula", "assigns to 'width', which is a variable") in overwritten


def test_an_unreadable_binding_is_found() -> None:
    [(where, _)] = findings(example=example(bindings={"width": "3 +", "height": "4"}))
    assert where == "example.bindings.width"


def test_a_template_without_formulas_is_still_checked() -> None:
    found = findings(
        variables={}, steps=[{"instruction": "Look."}], example=example(bindings={}, check="answer == 3*5")
    )
    assert [where for where, _ in found] == ["example.check"]


def test_the_validate_command_says_what_is_wrong_and_where(tmp_path: Path) -> None:
    put(tmp_path, {**RECTANGLE, "example": example(answer="13")})
    done = CliRunner().invoke(app, ["validate", str(tmp_path), "--no-meanings"])
    assert done.exit_code == 1
    assert "rectangle-area" in done.output
    assert "example.answer" in done.output


def test_the_validate_command_names_files_that_break_the_contract(tmp_path: Path) -> None:
    put(tmp_path, {**RECTANGLE, "tags": []})
    done = CliRunner().invoke(app, ["validate", str(tmp_path), "--no-meanings"])
    assert done.exit_code == 1
    assert "tags" in done.output


def test_the_validate_command_is_content_with_a_right_library(tmp_path: Path) -> None:
    put(tmp_path, RECTANGLE)
    done = CliRunner().invoke(app, ["validate", str(tmp_path), "--no-meanings"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "1 active, every example verified" in done.output


def test_a_check_that_is_the_formula_in_another_order_is_no_check() -> None:
    assert ("example.check", "repeats the formulas; reach the answer by another way") in findings(
        example=example(check="answer == height*width")
    )


def test_a_check_that_only_states_the_answer_is_no_check() -> None:
    where = [where for where, message in findings(example=example(check="answer == 12")) if "enumerates" in message]
    assert where == ["example.check"]
    assert findings(example=example(check="answer == count(x > 0, x, 1, 3, y, 1, 4)")) == []


def test_formulas_that_double_at_every_step_cost_nothing_to_look_at() -> None:
    doubling = [{"instruction": "Double.", "formula": f"f{k + 1} = f{k} + f{k}"} for k in range(60)]
    steps = [{"instruction": "Start.", "formula": "f0 = width*height"}, *doubling]
    assert findings(steps=steps, example=example(answer=str(12 * 2**60), check="answer == width*height*2**60")) == []


def test_a_formula_as_long_as_it_gets_is_a_finding_and_no_crash() -> None:
    long = [{"instruction": "Add.", "formula": "area = width*height" + " + 0" * 700}]
    assert any("too long or nested" in message for _, message in findings(steps=long))


def test_bindings_that_cannot_be_read_are_told_by_name() -> None:
    assert [where for where, _ in findings(example=example(bindings={"width": "3", "height": "four"}))][:1] == [
        "example.bindings.height"
    ]
