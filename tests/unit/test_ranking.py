"""The score: its bounds, its order, and what each part answers to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonflux.contracts import Query, ThoughtTemplate
from template_store.retrieval import ranking
from template_store.retrieval.bm25 import Bm25, runs, words
from template_store.retrieval.index import documents
from template_store.retrieval.ranking import (
    WEIGHTS,
    field_similarity,
    matched,
    name_similarity,
    parts,
    relevance,
    rivals,
    score,
    tag_similarity,
)

SHARES = st.floats(min_value=0, max_value=1)
PARTS = st.fixed_dictionaries(
    {"dense": SHARES, "bm25": SHARES}, optional={"name": SHARES, "tags": SHARES, "field": SHARES}
)
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
    assert math.isclose(sum(WEIGHTS.values()), 1, abs_tol=0.003)  # each is kept with three digits
    assert min(WEIGHTS.values()) > 0


@given(PARTS)
def test_relevance_is_a_share(found: dict[str, float]) -> None:
    assert 0 <= relevance(found) <= 1 + 1e-9


@given(SHARES, SHARES)
def test_a_score_is_a_probability(relevance: float, rival: float) -> None:
    assert 0 < score(relevance, rival) < 1


@given(SHARES, SHARES, SHARES, SHARES)
def test_a_score_grows_with_relevance_and_falls_with_the_rivals(
    one: float, two: float, three: float, four: float
) -> None:
    assert score(min(one, two), max(three, four)) <= score(max(one, two), min(three, four)) + 1e-12


@given(PARTS, st.sampled_from(["dense", "bm25"]), SHARES)
def test_no_part_that_grows_lowers_the_relevance(found: dict[str, float], part: str, value: float) -> None:
    assert relevance({**found, part: max(found[part], value)}) >= relevance(found) - 1e-12


@given(st.lists(SHARES, min_size=1, max_size=6))
def test_ranks_by_score_are_ranks_by_relevance(relevances: list[float]) -> None:
    scores = [score(relevance, rival) for relevance, rival in zip(relevances, rivals(relevances), strict=True)]
    assert [scores[i] for i in sorted(range(len(scores)), key=lambda i: relevances[i])] == sorted(scores)


def test_the_rival_is_the_best_of_the_others() -> None:
    assert rivals([0.5, 0.9, 0.7]) == [0.9, 0.7, 0.9]
    assert rivals([0.6]) == [0]
    assert rivals([0.4, 0.4]) == [0.4, 0.4]
    assert rivals([]) == []


@given(PARTS)
def test_boosts_cannot_outweigh_dense_and_words(found: dict[str, float]) -> None:
    assert WEIGHTS["dense"] + WEIGHTS["bm25"] > WEIGHTS["name"] + WEIGHTS["tags"] + WEIGHTS["field"]
    bare = {"dense": found["dense"], "bm25": found["bm25"]}
    boosts = WEIGHTS["name"] + WEIGHTS["tags"] + WEIGHTS["field"]
    assert abs(relevance(found) - relevance(bare)) <= boosts / sum(WEIGHTS.values()) + 1e-9


@given(st.dictionaries(st.sampled_from("abcd"), TEXTS, max_size=4), TEXTS)
def test_bm25_is_a_share_for_any_texts(texts: dict[str, str], query: str) -> None:
    found = Bm25(texts).by_key(query)
    assert found.keys() == texts.keys()
    assert all(0 <= value <= 1 + 1e-6 for value in found.values())


CHANGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | TEXTS), max_size=30)


@given(CHANGES, TEXTS)
def test_bm25_that_changed_scores_as_one_built_anew(changes: list[tuple[str, str | None]], query: str) -> None:
    changed, texts = Bm25(), dict[str, str]()
    for key, text in changes:
        if text is None:
            changed.delete([key])
            texts.pop(key, None)
        else:
            changed.upsert(key, text)
            texts[key] = text
    assert changed.by_key(query) == pytest.approx(Bm25(texts).by_key(query), abs=1e-6)


def test_bm25_forgets_the_room_of_what_was_deleted() -> None:
    index = Bm25({str(n): f"text number {n} about circles" for n in range(400)})
    index.delete([str(n) for n in range(390)])
    assert len(index) == 10
    assert len(index.keys) < 100
    assert index.by_key("circles").keys() == {str(n) for n in range(390, 400)}


@given(st.lists(TEXTS, max_size=5))
def test_words_of_words_are_the_same_words(texts: list[str]) -> None:
    once = words(" ".join(texts))
    assert all(word.isascii() and not word.isdigit() for word in once)
    assert words(" ".join(once).upper()) == words(" ".join(once))


def test_bm25_prefers_rare_words_and_counts_unknown_ones_against() -> None:
    index = Bm25({"a": "sum series arithmetic", "b": "sum series geometric", "c": "sum area"})
    assert index.by_key("geometric sum")["b"] > index.by_key("geometric sum")["a"] > 0
    assert index.by_key("geometric zebra")["b"] < index.by_key("geometric")["b"]
    assert index.by_key("") == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_bm25_forgives_a_misspelt_word_and_reads_formulas() -> None:
    index = Bm25({"a": "logarithm of a product", "b": "area of a trapezium", "c": "the term a_n = a_1 + (n - 1)d"})
    found = index.by_key("lgarithm")
    assert max(found, key=found.__getitem__) == "a"
    found = index.by_key("given aₙ = a₁ + 4")
    assert set(runs("a_n = a_1")) == {" a_n ", "a_n =", "_n = ", "n = a", " = a_", "= a_1", " a_1 "}


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
    assert found == {"dense": 1.0, "bm25": 1.0, "name": 1.0, "tags": 1.0}
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


def test_a_misspelt_or_shuffled_name_is_still_near() -> None:
    assert name_similarity("Sum of an Arithmetic Series", SERIES.name) == 1
    assert (
        name_similarity("arithmetic sereis sum", SERIES.name) > 0.6 > name_similarity("area of a circle", SERIES.name)
    )
    assert name_similarity("", SERIES.name) == 0


def test_what_matched_is_what_was_near_and_the_boosts_that_spoke() -> None:
    near = {"name": 0.4, "tags": 0.2, "scope": 0.8, "steps": 0.78}
    assert matched({"dense": 0.8, "bm25": 0.3, "tags": 0.9}, near) == ("tags", "scope", "steps")
    assert matched({"dense": 0.1, "bm25": 0.0}, {"name": 0.1, "tags": 0.05}) == ()


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
