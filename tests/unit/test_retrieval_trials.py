"""What retrieval is fitted and measured with: fair queries, a fit that recovers what it should, an honest table."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonflux.contracts import Query, ThoughtTemplate
from reasonflux.errors import InvalidRequest
from template_store.retrieval import trials, tuning
from template_store.retrieval.calibration import Example, choices, fit, fit_curve, reliability
from template_store.retrieval.index import FaissIndex, documents
from template_store.retrieval.ranking import WEIGHTS, Curve, full_text, query_text, score
from template_store.retrieval.retriever import Retriever
from template_store.retrieval.trials import MEASURED, MIXED, Trial, noisy
from template_store.testing import ExactIndex, WordEmbedder

TOPICS = ("circle area", "prime divisor", "quadratic root", "geometric series", "dice probability", "vector angle")


def template(number: int) -> ThoughtTemplate:
    topic, variant = TOPICS[number % len(TOPICS)], f"variant{number}x"
    return ThoughtTemplate.model_validate(
        {
            "id": f"t{number}",
            "name": f"Rule of the {topic} {variant}",
            "type": "formula_rule",
            "field": f"{topic.split()[0]}/{topic.split()[1]}",
            "tags": [topic, f"tag{number}y"],
            "description": f"Finds a {topic} in the case {variant}.",
            "scope": [f"A {topic} is asked, situation{number}z", f"Another {topic}, situation{number}w"],
            "steps": [{"instruction": f"Take the {topic} and do {variant}."}],
            "example": {"problem": f"A {topic} of problem{number}v", "answer": "6", "check": "answer == 6"},
        }
    )


TEMPLATES = tuple(template(number) for number in range(24))


def retriever() -> Retriever:
    return Retriever(WordEmbedder(), ExactIndex(WordEmbedder.dimension), None, threshold=0.5)


@given(st.text(alphabet="abcdefgh ", min_size=1).filter(str.strip), st.integers(0, 5))
def test_a_noisy_name_is_the_same_for_the_same_seed_and_never_empty(text: str, seed: int) -> None:
    assert noisy(text, seed) == noisy(text, seed)
    assert noisy(text, seed).strip()
    assert len(noisy(text, seed).split()) <= len(text.split())


@pytest.mark.parametrize("kind", [trials.SCENARIO, trials.PROBLEM, trials.TAGS, trials.SCENARIO_AND_FIELD, trials.LINE])
def test_no_query_finds_its_own_words(kind: trials.Kind) -> None:
    for one in TEMPLATES:
        indexed = kind.indexed(one)
        read = " ".join([full_text(indexed), *documents(indexed).values()])
        asked = query_text(kind.query(one)).replace(",", "").split()
        own = [word for word in asked if word[-1] in "vwy" and any(map(str.isdigit, word))]

        assert own, "the test's templates have words of their own"
        assert not any(word in read for word in own)


async def test_every_template_is_asked_for_once_and_ties_count_against_it() -> None:
    for kind in (*MEASURED, *MIXED):
        found = await trials.run(kind, TEMPLATES, WordEmbedder(), retriever)
        assert [trial.right for trial in found] == [one.id for one in TEMPLATES]
    trial = found[0]
    assert trial.rank(lambda offered: 0.0) == len(trial.offered) - 1
    assert trial.rank(lambda offered: float(offered.template.id == trial.right)) == 0
    assert Trial("x", trial.query, "unheard-of", trial.offered).rank() == len(trial.offered)


async def test_what_is_fitted_is_convex_and_knows_foreign_questions() -> None:
    found = await trials.run_foreign(TEMPLATES, WordEmbedder(), retriever)
    for kind in (*MEASURED, *MIXED):
        found += await trials.run(kind, TEMPLATES, WordEmbedder(), retriever)
    fitted = fit(found)
    assert fitted.weights.keys() == WEIGHTS.keys()
    assert sum(fitted.weights.values()) == pytest.approx(1, abs=0.01)
    assert min(fitted.weights.values()) > 0
    assert score(0.9, 0.3, fitted.curve) > 0.5 > score(0.05, 0.04, fitted.curve)


def test_the_curve_that_made_the_answers_is_found_again() -> None:
    true, chance = Curve(intercept=1, height=3, ahead=9, cap=0.35), np.random.default_rng(0)
    points = [(float(chance.uniform(0.1, 1)), float(chance.uniform(0.1, 1))) for _ in range(20_000)]
    shown = [Example(h, rival, bool(chance.uniform() < score(h, rival, true)), True) for h, rival in points]
    found = fit_curve(shown)
    assert (found.intercept, found.height, found.ahead) == pytest.approx((1, 3, 9), rel=0.15)
    assert reliability(shown, found)[1] < 0.02
    chosen_right, _, left = choices(shown, found, 0.9)
    assert chosen_right > 0.9
    assert left > 0.8


@given(st.sets(st.sampled_from([one.id for one in TEMPLATES])), st.integers(0, 23))
@settings(max_examples=30)
async def test_what_was_deleted_is_not_found_and_the_rest_is_found_by_name(gone: set[str], asked: int) -> None:
    store = Retriever(WordEmbedder(), FaissIndex(WordEmbedder.dimension), None, threshold=0.0)
    await store.upsert(TEMPLATES)
    store.delete(gone)
    [found] = await store.search([Query(name=TEMPLATES[asked].name)], top_k=30)
    assert not {candidate.template_id for candidate in found.candidates} & gone
    if TEMPLATES[asked].id not in gone:
        assert found.candidates[0].template_id == TEMPLATES[asked].id
        assert "name" in found.candidates[0].matched


def test_a_tuning_query_is_never_in_its_own_document() -> None:
    for one in TEMPLATES:
        for query, document in tuning.pairs(one, random.Random(0)):
            if query in one.scope:
                assert query not in document
            elif set(query.split(", ")) == set(one.tags):
                assert document in documents(one.model_copy(update={"tags": ()})).values()


def test_the_batches_hold_one_pair_for_each_template() -> None:
    seen = [pair for batch in tuning.batches(TEMPLATES, random.Random(1)) for pair in batch]
    assert len(seen) == len(TEMPLATES)
    assert len(set(seen)) == len(seen)


def test_too_small_a_library_is_refused_before_anything_is_loaded(tmp_path: object) -> None:
    from pathlib import Path

    with pytest.raises(InvalidRequest, match="too few"):
        tuning.tune(TEMPLATES[:10], Path(str(tmp_path)))
