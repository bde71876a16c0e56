"""One suite for the FAISS index and the exact fake, on real embeddings; and the embedder and its caches."""

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from template_store.errors import ModelUnavailable, WeightsRefused
from template_store.ports import Entry, Index, Vectors
from template_store.retrieval.embedding import Runtime, SentenceEmbedder
from template_store.retrieval.embedding_cache import EmbeddingCache
from template_store.retrieval.index import FaissIndex
from template_store.retrieval.weights import packaged_minilm, verify_weights
from template_store.testing import ExactIndex, WordEmbedder

pytestmark = pytest.mark.faiss

TEXTS = {
    "series": {"name": "Sum of an arithmetic series", "scope": "Rows of seats that grow by a fixed number"},
    "roots": {"name": "Roots of a quadratic equation", "scope": "A polynomial of degree two is set to zero"},
    "circle": {"name": "Area of a circle", "scope": "The radius of a round field or plate is known"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ONNX files made from the weights are kept."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def embedder(models: Path) -> AsyncIterator[SentenceEmbedder]:
    opened = await SentenceEmbedder.open(cache_dir=models)
    yield opened
    opened.close()


@pytest.fixture(params=list(Runtime))
async def any_embedder(request: pytest.FixtureRequest, models: Path) -> AsyncIterator[SentenceEmbedder]:
    opened = await SentenceEmbedder.open(cache_dir=models, runtime=request.param)
    yield opened
    opened.close()


def coarse(dimension: int) -> Index:
    """The large library's index on a small one: every search goes through the coarse index, as soon as there is one."""
    return Settled(dimension, coarse_from=1, coarse=flat)


def flat(vectors: Vectors) -> Any:
    found = faiss.IndexFlatIP(vectors.shape[1])
    found.add(np.ascontiguousarray(vectors))
    return found


class Settled(FaissIndex):
    def upsert(self, entries: Sequence[Entry]) -> None:
        super().upsert(entries)
        self.settle()


@pytest.fixture(params=[FaissIndex, coarse, ExactIndex], ids=["faiss", "coarse", "exact"])
def new_index(request: pytest.FixtureRequest) -> Callable[[int], Index]:
    return request.param  # type: ignore[no-any-return]


async def entries(embedder: SentenceEmbedder, ids: Sequence[str] = tuple(TEXTS)) -> list[Entry]:
    return [Entry(key, tuple(TEXTS[key]), await embedder.embed(list(TEXTS[key].values()))) for key in ids]


@pytest.fixture
async def index(new_index: Callable[[int], Index], embedder: SentenceEmbedder) -> Index:
    filled = new_index(embedder.dimension)
    filled.upsert(await entries(embedder))
    return filled


async def ids(index: Index, embedder: SentenceEmbedder, text: str, limit: int = 3) -> list[str]:
    return [hit.template_id for hit in index.search(await embedder.embed([text]), limit)[0]]


async def test_the_nearest_template_comes_first_by_any_of_its_documents(
    index: Index, embedder: SentenceEmbedder
) -> None:
    assert (await ids(index, embedder, "quadratic equation solutions"))[0] == "roots"
    assert (await ids(index, embedder, "seats in theatre rows"))[0] == "series"


async def test_a_hit_has_one_part_per_document_and_the_greatest_is_its_similarity(
    index: Index, embedder: SentenceEmbedder
) -> None:
    hit = index.search(await embedder.embed(["Area of a circle"]), 1)[0][0]
    assert hit.template_id == "circle"
    assert set(hit.parts) == {"name", "scope"}
    assert hit.similarity == max(hit.parts.values()) == pytest.approx(1, abs=1e-5)


async def test_every_query_row_has_its_own_answer_within_the_limit(index: Index, embedder: SentenceEmbedder) -> None:
    found = index.search(await embedder.embed(["circle area", "arithmetic series"]), 2)
    assert [hits[0].template_id for hits in found] == ["circle", "series"]
    assert [len(hits) for hits in found] == [2, 2]
    assert index.search(await embedder.embed(["circle"]), 0) == [[]]


async def test_a_filter_keeps_templates_that_are_far_away(index: Index, embedder: SentenceEmbedder) -> None:
    found = index.search(await embedder.embed(["circle area"]), 3, among={"roots"})
    assert [hit.template_id for hit in found[0]] == ["roots"]
    assert index.search(await embedder.embed(["circle area"]), 3, among=set()) == [[]]


async def test_upsert_replaces_and_delete_forgets(index: Index, embedder: SentenceEmbedder) -> None:
    index.upsert([Entry("circle", ("name",), await embedder.embed(["Baking bread"]))])
    assert index.stats().documents == 5
    assert (await ids(index, embedder, "a bakery loaf"))[0] == "circle"
    index.delete(["circle", "unheard-of"])
    assert sorted(await ids(index, embedder, "a bakery loaf")) == ["roots", "series"]
    assert (index.stats().templates, index.stats().documents) == (2, 4)


async def test_the_last_of_two_entries_with_one_id_counts(index: Index, embedder: SentenceEmbedder) -> None:
    circle, roots = await entries(embedder, ["circle", "roots"])
    index.upsert([circle, Entry("circle", roots.documents, roots.vectors)])
    assert (index.stats().templates, index.stats().documents) == (3, 6)
    found = index.search(await embedder.embed(["quadratic equation"]), 3)[0]
    assert [hit.template_id for hit in found[:2]] == ["circle", "roots"]  # the same vectors: ties by id


async def test_an_empty_index_finds_nothing(new_index: Callable[[int], Index], embedder: SentenceEmbedder) -> None:
    assert new_index(embedder.dimension).search(await embedder.embed(["circle"]), 5) == [[]]


async def test_vectors_of_another_dimension_are_refused_and_change_nothing(index: Index) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        index.upsert([Entry("circle", ("name",), np.ones((1, 3), dtype=np.float32))])
    assert index.stats().documents == 6


async def test_faiss_and_the_fake_agree(embedder: SentenceEmbedder) -> None:
    real, fake = FaissIndex(embedder.dimension), ExactIndex(embedder.dimension)
    for one in (real, fake):
        one.upsert(await entries(embedder))
    queries = await embedder.embed(["rows of chairs", "parabola", "pizza", "42"])
    for ours, theirs in zip(real.search(queries, 3), fake.search(queries, 3), strict=True):
        assert [hit.template_id for hit in ours] == [hit.template_id for hit in theirs]
        assert [hit.similarity for hit in ours] == pytest.approx([hit.similarity for hit in theirs], abs=1e-5)


async def test_named_templates_are_compared_in_the_order_asked(index: Index, embedder: SentenceEmbedder) -> None:
    [query] = await embedder.embed(["Area of a circle"])
    assert [hit.template_id for hit in index.compare(query, ["roots", "unheard-of", "circle"])] == ["roots", "circle"]
    by_search = {hit.template_id: hit.parts for hit in index.search(query[None], 3)[0]}
    for hit in index.compare(query, list(TEXTS)):
        assert hit.parts == pytest.approx(by_search[hit.template_id], abs=1e-5)


async def test_a_snapshot_makes_an_equal_index(index: Index, embedder: SentenceEmbedder) -> None:
    index.delete(["roots"])
    other = ExactIndex(embedder.dimension)
    other.upsert(index.snapshot())
    assert await ids(other, embedder, "circle") == await ids(index, embedder, "circle")


IDS = st.sampled_from("abcdefgh")
STEPS = st.lists(st.tuples(IDS, st.none() | st.integers(1, 3), st.integers(0, 10**6)), max_size=25)


@pytest.mark.parametrize("options", [{}, {"coarse_from": 1, "coarse": flat}], ids=["exact", "coarse"])
@given(steps=STEPS, limit=st.integers(1, 9), among=st.none() | st.sets(IDS))
def test_after_any_changes_it_answers_as_the_fake(
    options: dict[str, Any], steps: list[tuple[str, int | None, int]], limit: int, among: set[str] | None
) -> None:
    real, fake = FaissIndex(8, **options), ExactIndex(8)
    for key, count, seed in steps:
        for one in (real, fake):
            if count is None:
                one.delete([key])
            else:
                # of its own for each template: which of two equal documents comes first is nobody's promise
                vectors = np.random.default_rng([seed, ord(key)]).normal(size=(count, 8)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                one.upsert([Entry(key, tuple(f"document {n}" for n in range(count)), vectors)])
    query = np.eye(8, dtype=np.float32)[:1]
    expected, found = fake.search(query, limit, among)[0], real.search(query, limit, among)[0]
    assert [hit.template_id for hit in found] == [hit.template_id for hit in expected]
    assert [hit.similarity for hit in found] == pytest.approx([hit.similarity for hit in expected], abs=1e-5)
    assert (real.stats().templates, real.stats().documents) == (fake.stats().templates, fake.stats().documents)
    real.settle()


def test_a_search_does_not_wait_for_a_coarse_index_that_is_being_built() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(vectors: Vectors) -> Any:
        begun.set()
        go_on.wait(60)
        return flat(vectors)

    index, rows = FaissIndex(4, coarse_from=3, coarse=slow), np.eye(4, dtype=np.float32)
    index.upsert([Entry(str(n), ("name",), rows[n : n + 1]) for n in range(3)])
    assert begun.wait(60)
    index.upsert([Entry("3", ("name",), rows[3:])])  # written while it is built
    index.delete(["0"])
    assert [hit.template_id for hit in index.search(rows[3:], 1)[0]] == ["3"]
    assert index.stats().kind == "faiss exact"
    go_on.set()
    index.settle()
    assert index.stats().kind == "faiss IndexFlatIP"
    assert [hit.template_id for hit in index.search(rows[3:], 1)[0]] == ["3"]
    assert "0" not in {hit.template_id for hit in index.search(rows[:1], 4)[0]}


async def test_a_start_with_a_kept_onnx_file_does_not_import_torch(embedder: SentenceEmbedder, models: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\nfrom template_store.retrieval.embedding import SentenceEmbedder\n"
        "async def main():\n"
        "    embedder = await SentenceEmbedder.open(cache_dir=pathlib.Path(sys.argv[1]))\n"
        "    assert (await embedder.embed_queries(['circle'])).shape == (1, 384)\n"
        "asyncio.run(main())\n"
        "print([name for name in ('torch', 'sentence_transformers', 'onnx', 'transformers') if name in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(models), stdout=subprocess.PIPE)
    printed, _ = await process.communicate()
    assert printed.decode().strip() == "[]"


async def test_a_damaged_onnx_file_is_made_anew(embedder: SentenceEmbedder, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    [kept] = (tmp_path / "models").glob("*int8.onnx")
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    again = await SentenceEmbedder.open(cache_dir=tmp_path)
    try:
        assert (await again.embed(["circle"]))[0] == pytest.approx((await embedder.embed(["circle"]))[0], abs=1e-5)
    finally:
        again.close()
    assert kept.read_bytes() == sound


async def test_a_folder_for_onnx_files_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    embedder = await SentenceEmbedder.open(cache_dir=tmp_path)
    try:
        assert (await embedder.embed(["circle"])).shape == (1, 384)
    finally:
        embedder.close()


async def test_every_runtime_gives_nearly_the_same_vectors_under_its_own_version(models: Path) -> None:
    texts = [text for found in TEXTS.values() for text in found.values()]
    texts += ["Find all integers n such that n^2 + 1 divides 2n + 8", "limit", "tangent to a circle from a point" * 9]
    vectors, versions = {}, set()
    for runtime in Runtime:
        embedder = await SentenceEmbedder.open(cache_dir=models, runtime=runtime)
        vectors[runtime] = await embedder.embed(texts)
        versions.add(embedder.version)
        embedder.close()
    assert len(versions) == 3
    assert (vectors[Runtime.FP32] * vectors[Runtime.TORCH]).sum(1) == pytest.approx(1, abs=1e-4)
    assert (vectors[Runtime.INT8] * vectors[Runtime.TORCH]).sum(1).mean() >= 0.995
    assert (vectors[Runtime.INT8] * vectors[Runtime.TORCH]).sum(1).min() >= 0.985


async def test_embeddings_are_unit_vectors_and_do_not_depend_on_their_batch(any_embedder: SentenceEmbedder) -> None:
    embedder = any_embedder
    texts = ["a circle", "a much longer text about the roots of a quadratic equation and their sum"]
    together = await embedder.embed(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert together[0] == pytest.approx((await embedder.embed(texts[:1]))[0], abs=1e-5)
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


async def test_repeated_queries_are_remembered_up_to_a_limit(models: Path) -> None:
    embedder = await SentenceEmbedder.open(remembered=2, cache_dir=models)
    try:
        first = await embedder.embed_queries(["a", "b", "a"])
        assert np.array_equal(first[0], first[2])
        await embedder.embed_queries(["a"])
        await embedder.embed_queries(["c"])  # b is the one not asked for longest
        assert [text for _, text in embedder._recent] == ["a", "c"]
        assert {version for version, _ in embedder._recent} == {embedder.version}
    finally:
        embedder.close()


async def test_weights_with_one_changed_byte_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(packaged_minilm(), changed)
    with (changed / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(WeightsRefused) as refused:
        await SentenceEmbedder.open(packaged=changed)
    assert refused.value.found != refused.value.expected
    verify_weights(packaged_minilm())


async def test_a_model_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        await SentenceEmbedder.open(packaged=tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailable):
        await SentenceEmbedder.open(str(tmp_path))


async def test_a_model_by_path_has_a_version_of_its_own(embedder: SentenceEmbedder, models: Path) -> None:
    other = await SentenceEmbedder.open(str(packaged_minilm()), cache_dir=models)
    try:
        assert other.version != embedder.version
        assert (await other.embed(["circle"]))[0] == pytest.approx((await embedder.embed(["circle"]))[0], abs=1e-5)
    finally:
        other.close()


def only_file(folder: Path) -> Path:
    [file] = folder.glob("*.npz")
    return file


class Counting(WordEmbedder):
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return await super().embed(texts)


async def test_a_second_start_embeds_only_what_changed(tmp_path: Path) -> None:
    cache, first, second = EmbeddingCache(tmp_path), Counting(), Counting()
    before = await cache.embed(first, ["one", "two"])
    after = await EmbeddingCache(tmp_path).embed(second, ["two", "three", "one"])
    assert second.asked == ["three"]
    assert np.array_equal(before[0], after[2])


async def test_a_change_keeps_what_was_there_and_what_is_long_gone_goes(tmp_path: Path) -> None:
    cache, embedder = EmbeddingCache(tmp_path), Counting()
    await cache.embed(embedder, [str(n) for n in range(10)])
    await cache.embed(embedder, ["changed"])
    await EmbeddingCache(tmp_path).embed(embedder, [str(n) for n in range(10)])
    assert len(embedder.asked) == 11
    await EmbeddingCache(tmp_path).embed(embedder, ["1", "2"])
    await EmbeddingCache(tmp_path).embed(embedder, ["1", "2"])
    assert len(embedder.asked) == 11
    await EmbeddingCache(tmp_path).embed(embedder, ["3"])
    assert len(embedder.asked) == 12


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", b"half"])
async def test_a_damaged_cache_is_passed_over_and_written_anew(tmp_path: Path, damage: bytes) -> None:
    cache, embedder = EmbeddingCache(tmp_path), Counting()
    await cache.embed(embedder, ["one"])
    file = only_file(tmp_path)
    file.write_bytes(file.read_bytes()[:100] if damage == b"half" else damage)
    await cache.embed(embedder, ["one"])
    await cache.embed(embedder, ["one"])
    assert embedder.asked == ["one", "one"]


async def test_a_changed_byte_in_the_cache_is_noticed(tmp_path: Path) -> None:
    cache, embedder = EmbeddingCache(tmp_path), Counting()
    sound = await cache.embed(embedder, ["one", "two"])
    file = only_file(tmp_path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    assert np.array_equal(await cache.embed(embedder, ["one", "two"]), sound)


async def test_a_cache_of_another_model_version_is_not_used(tmp_path: Path) -> None:
    cache, embedder = EmbeddingCache(tmp_path), Counting()
    await cache.embed(embedder, ["one"])
    embedder.version = "words@2"
    await cache.embed(embedder, ["one"])
    assert embedder.asked == ["one", "one"]


async def test_a_cache_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert (await EmbeddingCache(tmp_path / "file").embed(WordEmbedder(), ["one"])).shape == (1, 256)
