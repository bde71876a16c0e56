"""Similar problems: never the problem itself, always with a known answer, and on its own side of the split."""

import asyncio
import json
import re
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.ladder import Split, generate
from evaluation.ladder.problem import digest, split_of
from reasonflux.errors import EngineUnavailable, InvalidRequest
from reasonflux.testing.fake_engine import Call, FakeEngine, Scripted
from template_store.testing import WordEmbedder
from training.records import TrainingProblem
from training.similar import (
    LadderVariants,
    Neighbours,
    NoSimilar,
    SimilarConfig,
    Unreadable,
    WrittenVariants,
    from_ladder,
    open_source,
    read_dataset,
    read_variants,
)

LADDER = tuple(islice(generate(Split.TRAIN, (1, 2), seed=3), 20))


def told(text: str, answer: str = "1") -> TrainingProblem:
    return TrainingProblem(id=digest(text), text=text, answer=answer, source="test")


def on_side(split: Split, pattern: str, count: int) -> list[str]:
    texts = (pattern.format(n=n) for n in range(1, 10_000))
    return list(islice((text for text in texts if split_of(text) is split), count))


SUMS = on_side(Split.TRAIN, "What is {n} plus 1?", 12)
HELDOUT_SUMS = on_side(Split.HELDOUT, "What is {n} plus 1?", 4)


# The ladder


async def test_the_ladder_varies_its_own_problems() -> None:
    source = LadderVariants(LADDER, seed=1)
    for made in LADDER:
        problem = from_ladder(made)
        others = await source.of(problem, 3)
        assert len({other.id for other in (problem, *others)}) == 4
        assert all(other.families == problem.families and other.depth == problem.depth for other in others)
        assert all(other.id == digest(other.text) and split_of(other.text) is Split.TRAIN for other in others)
        assert await source.of(problem, 3) == others


async def test_the_ladder_says_that_a_problem_is_not_its_own() -> None:
    with pytest.raises(InvalidRequest, match="neighbours or llm"):
        await LadderVariants(LADDER).of(told(SUMS[0]), 3)


# A data set


def test_a_data_set_is_read_with_its_further_fields_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(
        '{"problem": "What is 1 + 1?", "answer": 2, "level": "easy"}\n\n{"problem": "b", "answer": "x^2"}\n'
    )
    first, second = read_dataset(path)
    assert (first.text, first.answer, first.source) == ("What is 1 + 1?", "2", "set.jsonl:1")
    assert (second.answer, second.source, second.id) == ("x^2", "set.jsonl:3", digest("b"))


@pytest.mark.parametrize("line", ["no json", "[]", '{"problem": "a"}', '{"problem": "a", "answer": null}', '"text"'])
def test_a_wrong_line_of_a_data_set_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"problem": "a", "answer": "1"}\n' + line)
    with pytest.raises(InvalidRequest, match="line 2"):
        read_dataset(path)


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.jsonl"):
        read_dataset(tmp_path / "none.jsonl")


async def test_neighbours_are_the_nearest_of_the_data_set() -> None:
    far = on_side(Split.TRAIN, "A train travels {n} kilometers north.", 5)
    source = await Neighbours.open([told(text) for text in (*far, *SUMS)], WordEmbedder(), 0.5)
    found = await source.of(told(SUMS[0]), 4)
    assert len(found) == 4
    assert {other.text for other in found} <= set(SUMS[1:])


async def test_problems_below_the_minimum_similarity_are_no_neighbours() -> None:
    far = on_side(Split.TRAIN, "A train travels {n} kilometers north.", 5)
    source = await Neighbours.open([told(text) for text in far], WordEmbedder(), 0.5)
    assert await source.of(told(SUMS[0]), 4) == ()


@given(
    held=st.lists(st.sampled_from(SUMS + HELDOUT_SUMS), max_size=20),
    asked=st.sampled_from(SUMS + HELDOUT_SUMS),
    count=st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_neighbours_are_different_never_the_problem_itself_and_on_its_side(
    held: list[str], asked: str, count: int
) -> None:
    async def found() -> tuple[TrainingProblem, ...]:
        source = await Neighbours.open([told(text) for text in held], WordEmbedder(), -1)
        return await source.of(told(asked.upper() + " "), count)

    others = [other.text for other in asyncio.run(found())]
    wanted = {text for text in held if text != asked and split_of(text) is split_of(asked)}
    assert len(others) == len(set(others)) == min(count, len(wanted))
    assert set(others) <= wanted


# An LLM


def written(*variants: tuple[str, str]) -> str:
    return json.dumps({"variants": [{"problem": text, "answer": answer} for text, answer in variants]})


def solved(call: Call) -> str:
    """The sums are solved as they should be."""
    asked = re.search(r"What is (\d+) plus 1\?", call.messages[-1].content)
    assert asked
    return rf"One more than {asked[1]}. \boxed{{{int(asked[1]) + 1}}}"


def writing(*turns: str) -> FakeEngine:
    """An engine that writes these variants, turn by turn, and solves sums."""
    left = iter(turns)

    def reply(call: Call) -> Scripted:
        return next(left) if call.schema_ is not None else solved(call)

    return FakeEngine(reply)


def right(text: str) -> tuple[str, str]:
    return text, str(int(text.split()[2]) + 1)


CONFIG = SimilarConfig(source="llm", rounds=3)


async def test_written_variants_are_kept_with_their_answers() -> None:
    engine = writing(written(right(SUMS[1]), right(SUMS[2])))
    source = WrittenVariants(engine, CONFIG)
    found = await source.of(told(SUMS[0]), 2)
    assert [(other.text, other.answer, other.source) for other in found] == [
        (*right(SUMS[1]), "llm"),
        (*right(SUMS[2]), "llm"),
    ]
    assert source.tokens.calls == len(engine.calls) == 1 + 2 * 2


async def test_a_variant_whose_answer_is_not_found_again_is_dropped() -> None:
    engine = writing(written((SUMS[1], "999"), right(SUMS[2])), written(right(SUMS[3])))
    found = await WrittenVariants(engine, CONFIG).of(told(SUMS[0]), 2)
    assert [other.text for other in found] == [SUMS[2], SUMS[3]]


async def test_a_variant_that_is_solved_differently_twice_is_dropped() -> None:
    def reply(call: Call) -> Scripted:
        if call.schema_ is not None:
            return written(right(SUMS[1]))
        return solved(call) if call.seed == 0 else r"\boxed{-5}"

    assert await WrittenVariants(FakeEngine(reply), CONFIG).of(told(SUMS[0]), 1) == ()


async def test_the_two_solutions_are_sampled_apart() -> None:
    engine = writing(written(right(SUMS[1])))
    await WrittenVariants(engine, CONFIG).of(told(SUMS[0]), 1)
    _, one, other = engine.calls
    assert one.messages == other.messages
    assert one.temperature > 0
    assert one.seed != other.seed


async def test_a_reply_that_cannot_be_read_costs_one_round() -> None:
    engine = writing("I would rather not.", written(right(SUMS[1])))
    found = await WrittenVariants(engine, CONFIG).of(told(SUMS[0]), 1)
    assert [other.text for other in found] == [SUMS[1]]


async def test_the_problem_itself_repetitions_and_the_other_side_are_dropped() -> None:
    same = written(right(SUMS[0]), right(SUMS[0].replace(" ", "  ")), right(HELDOUT_SUMS[0]), right(SUMS[1]))
    found = await WrittenVariants(writing(same, same, same), CONFIG).of(told(SUMS[0]), 4)
    assert [other.text for other in found] == [SUMS[1]]


async def test_what_was_written_already_is_told_in_the_next_round() -> None:
    engine = writing(written(right(SUMS[1])), written(right(SUMS[2])))
    await WrittenVariants(engine, CONFIG).of(told(SUMS[0]), 2)
    first, second = (call.messages[-1].content for call in engine.calls if call.schema_ is not None)
    assert SUMS[0] in first
    assert "2 similar problems" in first
    assert SUMS[1] not in first
    assert SUMS[1] in second
    assert "1 similar problem." in second


async def test_more_are_asked_for_where_most_fall_on_the_other_side() -> None:
    engine = writing(written(right(HELDOUT_SUMS[1])))
    found = await WrittenVariants(engine, CONFIG).of(told(HELDOUT_SUMS[0]), 1)
    assert [other.text for other in found] == [HELDOUT_SUMS[1]]
    assert "5 similar problems" in engine.calls[0].messages[-1].content


async def test_an_engine_that_is_gone_is_not_taken_for_one_without_variants() -> None:
    with pytest.raises(EngineUnavailable):
        await WrittenVariants(FakeEngine([EngineUnavailable("gone")]), CONFIG).of(told(SUMS[0]), 1)


@given(text=st.text())
@settings(max_examples=100, deadline=None)
def test_any_reply_is_read_or_told_to_be_unreadable(text: str) -> None:
    assert isinstance(read_variants(text), Unreadable)


@given(variants=st.lists(st.tuples(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=20)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_well_formed_variants_are_read_whatever_stands_around_them(variants: list[tuple[str, str]]) -> None:
    read = read_variants(f"Here they are:\n```json\n{written(*variants)}\n```")
    assert not isinstance(read, Unreadable)
    assert len(read.variants) == len(variants)


@pytest.mark.parametrize("reply", ['{"variants": [{"problem": "", "answer": "1"}]}', '{"variants": 3}', "{}"])
def test_a_reply_of_another_shape_is_unreadable(reply: str) -> None:
    read = read_variants(reply)
    assert isinstance(read, Unreadable)
    assert read.reason


# The source that the config names


async def test_the_config_names_the_source(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"problem": text, "answer": "1"}) + "\n" for text in SUMS))
    ladder = await open_source(SimilarConfig(), ladder=LADDER)
    near = await open_source(SimilarConfig(source="neighbours", dataset=path), embedder=WordEmbedder())
    llm = await open_source(SimilarConfig(source="llm"), engine=writing(written(right(SUMS[1]))))
    nothing = await open_source(SimilarConfig(source="none"))
    assert len(await ladder.of(from_ladder(LADDER[0]), 2)) == 2
    assert len(await near.of(told(SUMS[0]), 2)) == 2
    assert len(await llm.of(told(SUMS[0]), 1)) == 1
    assert await nothing.of(told(SUMS[0]), 2) == ()
    assert isinstance(nothing, NoSimilar)


@pytest.mark.parametrize("config", [SimilarConfig(source="llm"), SimilarConfig(source="neighbours")])
async def test_a_source_without_what_it_stands_on_is_refused(config: SimilarConfig) -> None:
    with pytest.raises(InvalidRequest, match=config.source):
        await open_source(config)
