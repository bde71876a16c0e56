"""The score: its bounds, its order, and what each part answers to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonflux.contracts import Query, ThoughtTemplate
from template_store import ranking
from template_store.index import documents
from template_store.ranking import WEIGHTS, Bm25, field_similarity, parts, relevance, score, tag_similarity, words

SHARES = st.floats(min_value=0, max_value=1)
PARTS = st.fixed_dictionaries({"dense": SHARES, "bm25": SHARES}, optional={"tags": SHARES, "field": SHARES})
TEXTS = st.text(alphabet="abiesy '-é7", max_size=40)

SERIES = ThoughtTemplate.model_validate(
    {
        "id": "series",
        "name": "Sum of an Arithmetic Series",
        "type": "formula_rule",
        "field": "algebra/sequences",
        "tags": ["arithmetic sequence", "series sum"],
        "description": "Adds up terms with a constant difference.",
        "scope": ["The total of rising rows"],
        "steps": [{"instruction": "Find the last term."}],
        "example": {"problem": "1 + 2 + 3?", "answer": "6", "check": "answer == 6"},
    }
)


def test_the_weights_are_convex() -> None:
    assert math.isclose(sum(WEIGHTS.values()), 1)
    assert min(WEIGHTS.values()) > 0


@given(PARTS)
def test_a_score_is_a_probability(found: dict[str, float]) -> None:
    assert 0 <= relevance(found) <= 1 + 1e-9
    assert 0 < score(found) < 1


@given(PARTS, st.sampled_from(["dense", "bm25"]), SHARES)
def test_no_part_that_grows_lowers_the_score(found: dict[str, float], part: str, value: float) -> None:
    assert score({**found, part: max(found[part], value)}) >= score(found) - 1e-12


@given(PARTS)
def test_boosts_cannot_outweigh_dense_and_words(found: dict[str, float]) -> None:
    bare = {"dense": found["dense"], "bm25": found["bm25"]}
    assert abs(relevance(found) - relevance(bare)) <= WEIGHTS["tags"] + WEIGHTS["field"] + 1e-9


@given(st.dictionaries(st.sampled_from("abcd"), TEXTS, max_size=4), TEXTS)
def test_bm25_is_a_share_for_any_texts(texts: dict[str, str], query: str) -> None:
    found = Bm25(texts).scores(query)
    assert found.keys() == texts.keys()
    assert all(0 <= value <= 1 for value in found.values())


@given(st.lists(TEXTS, max_size=5))
def test_words_of_words_are_the_same_words(texts: list[str]) -> None:
    once = words(" ".join(texts))
    assert all(word.isascii() and not word.isdigit() for word in once)
    assert words(" ".join(once).upper()) == words(" ".join(once))


def test_bm25_prefers_rare_words_and_counts_unknown_ones_against() -> None:
    index = Bm25({"a": "sum series arithmetic", "b": "sum series geometric", "c": "sum area"})
    assert index.scores("geometric sum")["b"] > index.scores("geometric sum")["a"] > 0
    assert index.scores("geometric zebra")["b"] < index.scores("geometric")["b"]
    assert index.scores("7 of the 12") == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_words_drop_numbers_plurals_and_filler() -> None:
    assert words("What is the sum of the first 20 terms of Ada's sequences in class?") == [
        "sum",
        "first",
        "term",
        "ada",
        "sequence",
        "class",
    ]


def test_naming_a_template_exactly_is_asking_for_it() -> None:
    found = parts(Query(name="sum of an ARITHMETIC series", tags=("series sum",)), SERIES, dense=0.1, bm25=0.1)
    assert found == {"dense": 1.0, "bm25": 1.0, "tags": 1.0}
    assert relevance(found) == pytest.approx(1)


def test_parts_that_the_query_is_silent_on_are_left_out() -> None:
    assert parts(Query(text="total"), SERIES, 0.5, 0.2).keys() == {"dense", "bm25"}
    assert parts(Query(text="total", field="algebra"), SERIES, 0.5, 0.2).keys() == {"dense", "bm25", "field"}


def test_a_cosine_below_zero_counts_as_zero() -> None:
    assert parts(Query(text="total"), SERIES, -0.3, 0.0) == {"dense": 0.0, "bm25": 0.0}


def test_tags_match_softly() -> None:
    assert tag_similarity(("arithmetic sequences",), SERIES.tags) == 1
    assert tag_similarity(("arithmetic",), SERIES.tags) == pytest.approx(2 / 3)
    assert tag_similarity(("arithmetic sequence", "zebra"), SERIES.tags) == pytest.approx(0.5)
    assert tag_similarity((), SERIES.tags) == 0


def test_fields_match_by_their_beginning() -> None:
    assert field_similarity("algebra", "algebra/sequences") == 1
    assert field_similarity("algebra/quadratics", "algebra/sequences") == 0.5
    assert field_similarity("geometry", "algebra/sequences") == 0


def test_tags_speak_only_when_the_query_says_nothing_else() -> None:
    assert ranking.query_text(Query(tags=("a", "b"))) == "a, b"
    assert ranking.query_text(Query(name="Sum", tags=("a",), text="of rows")) == "Sum. of rows"


def test_a_template_is_found_by_its_name_tags_scope_and_steps() -> None:
    found = documents(SERIES)
    assert set(found) == {"name", "tags", "scope", "steps"}
    assert "rising rows" in found["scope"]
    assert "last term" in found["steps"]
