"""One suite for the FAISS index and the exact fake, on real embeddings; and the embedder and its caches."""

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from template_store.embedding import EmbeddingCache, SentenceEmbedder, packaged_minilm, verify_weights
from template_store.errors import ModelUnavailable, WeightsRefused
from template_store.index import FaissIndex
from template_store.ports import Entry, Index, Vectors
from template_store.testing import ExactIndex, WordEmbedder

pytestmark = pytest.mark.faiss

TEXTS = {
    "series": {"name": "Sum of an arithmetic series", "scope": "Rows of seats that grow by a fixed number"},
    "roots": {"name": "Roots of a quadratic equation", "scope": "A polynomial of degree two is set to zero"},
    "circle": {"name": "Area of a circle", "scope": "The radius of a round field or plate is known"},
}


@pytest.fixture
async def embedder() -> AsyncIterator[SentenceEmbedder]:
    opened = await SentenceEmbedder.open()
    yield opened
    opened.close()


@pytest.fixture(params=[FaissIndex, ExactIndex], ids=["faiss", "exact"])
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


async def test_embeddings_are_unit_vectors_and_do_not_depend_on_their_batch(embedder: SentenceEmbedder) -> None:
    texts = ["a circle", "a much longer text about the roots of a quadratic equation and their sum"]
    together = await embedder.embed(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert together[0] == pytest.approx((await embedder.embed(texts[:1]))[0], abs=1e-5)
    assert (await embedder.embed([])).shape == (0, embedder.dimension)


async def test_repeated_queries_are_remembered_up_to_a_limit() -> None:
    embedder = await SentenceEmbedder.open(remembered=2)
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


async def test_a_model_by_path_has_a_version_of_its_own(embedder: SentenceEmbedder) -> None:
    other = await SentenceEmbedder.open(str(packaged_minilm()))
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
