"""The public v1 library's format: everything arrives or is refused with a reason, and nothing is made up."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calculator import evaluate_in_process
from reasonflux.contracts import TemplateStatus, TemplateType
from reasonflux.errors import InvalidRequest
from template_store.exchange.v1 import Arrival, read_v1, template_type
from template_store.quality.validation import validate
from template_store.retrieval.ranking import fold

ENTRY: dict[str, Any] = {
    "template_name": "Area by Base and Height",
    "template_type": "Important Formulas and Laws",
    "knowledge_tag": ["Area", "Triangle"],
    "description": "Finds the area of a triangle from a base and its height.",
    "application_scenario": "A base and the height on it are known.",
    "reason_flow": ["1. **Identify** the base.", "Step 2: Multiply by the height.", "- Halve it."],
    "example_application": "Example Problem: A base is 6, its height 4.\\nSolution Steps:\\n1. 6*4 = 24\\nAnswer: 12",
}


def read(*entries: Any) -> list[Arrival]:
    return read_v1({"Plane Geometry": {"Areas of Triangles": list(entries)}})


def one(**changes: Any) -> Any:
    (arrival,) = read({**ENTRY, **changes})
    assert arrival.refused is None, arrival
    return arrival.template


def test_an_entry_becomes_a_quarantined_template_that_knows_where_it_came_from() -> None:
    template = one()
    assert template.id == "area-by-base-and-height"
    assert template.type is TemplateType.FORMULA_RULE
    assert template.field == "plane-geometry/areas-of-triangles"
    assert template.status is TemplateStatus.QUARANTINED
    assert template.provenance.detail == "Plane Geometry > Areas of Triangles"
    assert [s.instruction for s in template.steps] == ["Identify the base.", "Multiply by the height.", "Halve it."]
    assert template.example.problem == "A base is 6, its height 4."
    assert template.example.steps == ("6*4 = 24",)
    assert template.example.answer == "12"


@pytest.mark.parametrize(
    "example",
    [
        {"Problem": "A base is 6, its height 4.", "Solution Steps": ["1. 6*4 = 24"], "Answer": "12"},
        {"example_question": "A base is 6, its height 4.", "solving_process": "6*4 = 24", "final_answer": "12"},
        {"Example 1": {"problem": "A base is 6, its height 4.", "solution": ["6*4 = 24"], "answers": ["12"]}},
    ],
)
def test_examples_are_read_from_every_shape(example: Any) -> None:
    (arrival,) = read({**ENTRY, "example_application": example})
    assert arrival.template is not None
    assert arrival.template.example.problem == "A base is 6, its height 4."
    assert (arrival.template.example.steps, arrival.template.example.answer) == (("6*4 = 24",), "12")


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("Problem-solving method", "problem_solving_method"),
        ("Solution Methods", "problem_solving_method"),
        ("Level 2 Conclusion", "secondary_conclusion"),
        ("Second-level Conclusion", "secondary_conclusion"),
        ("Theorem of Properties", "property_theorem"),
        ("Knowledge application", "knowledge_application"),
        ("Important Formulas and Theorems", "formula_rule"),
    ],
)
def test_spellings_of_types_are_normalised(spelling: str, expected: str) -> None:
    assert template_type(spelling).value == expected


def test_names_and_ids_are_made_unique() -> None:
    templates = [arrival.template for arrival in read(ENTRY, ENTRY, ENTRY)]
    assert [t.name for t in templates if t] == [
        "Area by Base and Height",
        "Area by Base and Height (Areas of Triangles)",
        "Area by Base and Height (2)",
    ]
    assert len({t.id for t in templates if t}) == 3


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({**ENTRY, "template_type": "Recipe"}, "template_type: 'Recipe' is none of the five types"),
        ({key: value for key, value in ENTRY.items() if key != "description"}, "'description' is missing"),
        ({**ENTRY, "template_name": "N" * 121}, "template_name: is longer than 120 characters"),
        ({**ENTRY, "example_application": ""}, "example_application: is empty"),
        ({**ENTRY, "reason_flow": []}, "steps: Tuple should have at least 1 item after validation, not 0"),
        ({**ENTRY, "knowledge_tag": [3]}, "3 should be text"),
        ("not an entry", "string indices must be integers, not 'str'"),
    ],
)
def test_what_cannot_arrive_is_refused_with_a_reason_and_the_rest_arrives(entry: Any, reason: str) -> None:
    refused, arrived = read(entry, ENTRY)
    assert refused.refused == reason
    assert arrived.template is not None


@pytest.mark.parametrize("data", [[], "text", {"a": []}, {"a": {"b": "c"}}, None])
def test_another_shape_is_refused_as_a_whole(data: Any) -> None:
    with pytest.raises(InvalidRequest, match="no ReasonFlux v1 library"):
        read_v1(data)


@given(st.lists(st.text(min_size=3, max_size=100).filter(lambda name: bool(name.strip())), max_size=8))
def test_no_two_arrivals_share_an_id_or_a_name(names: list[str]) -> None:
    arrived = [a.template for a in read(*({**ENTRY, "template_name": name} for name in names)) if a.template]
    assert len({t.id for t in arrived}) == len(arrived)
    assert len({fold(t.name) for t in arrived}) == len(arrived)


def reference() -> Path:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "reference"
    return Path(os.environ.get("REASONFLUX_REFERENCE", beside)) / "reasonflux_v1_template_library.json"


def test_all_of_the_public_library_arrives_and_none_of_it_passes_as_verified() -> None:
    if not reference().exists():
        pytest.skip("the public v1 library is not here; set REASONFLUX_REFERENCE to its folder")
    arrivals = read_v1(json.loads(reference().read_text()))
    assert len(arrivals) == 420
    templates = [arrival.template for arrival in arrivals if arrival.template]
    assert len(templates) == 420
    assert all(validate(template, evaluate_in_process) for template in templates)


def test_a_name_that_leaves_no_room_to_be_told_apart_is_refused_with_its_reason() -> None:
    long = "n" * 120
    first, second = read({**ENTRY, "template_name": long}, {**ENTRY, "template_name": long})
    assert first.template is not None
    assert second.refused == "template_name: another entry has it, and it leaves no room to tell the two apart"


def test_half_a_surrogate_pair_refuses_its_entry_alone() -> None:
    odd, good = read({**ENTRY, "template_name": "half \ud800 pair"}, ENTRY)
    assert odd.refused is not None
    assert good.template is not None
