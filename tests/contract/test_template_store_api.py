"""The service over ASGI, on the shipped library, the real index and real embeddings: reading and finding."""

from collections.abc import AsyncIterator, Sequence
from itertools import combinations
from pathlib import Path

import httpx
import pytest
import yaml

from reasonflux.contracts import (
    ErrorBody,
    Query,
    Retrieval,
    SearchRequest,
    SearchResponse,
    TemplatePage,
    ThoughtTemplate,
)
from template_store import library
from template_store.app import create
from template_store.errors import LibraryInvalid
from template_store.quality.duplicates import duplicates, meaning
from template_store.records import MemoryRecords
from template_store.retrieval.embedding import SentenceEmbedder
from template_store.settings import SHIPPED_LIBRARY, Settings

pytestmark = pytest.mark.faiss

TEMPLATES = library.read(SHIPPED_LIBRARY)

UNRELATED = (
    "How long should I boil an egg?",
    "What is the best way to learn the violin?",
    "Write a poem about the sea at night",
    "Who won the football world cup in 1998?",
    "Explain the causes of the French Revolution",
    "My cat refuses to eat dry food",
    "Translate this sentence into Portuguese",
    "Which planet has the largest moon?",
    "Tips for writing a cover letter",
    "How does photosynthesis work?",
    "Recommend a science fiction novel",
    "The engine of my car makes a rattling noise",
    "What are the side effects of ibuprofen?",
    "Summarise the plot of Hamlet",
    "How to install a printer driver on Linux",
    "Is it safe to travel to Peru in February?",
    "Draft an email declining a meeting",
    "Why do leaves turn red in autumn?",
    "Design a logo for a bakery",
    "Explain how TCP congestion control behaves",
    "Prove that every compact metric space is complete",
    "Solve the heat equation with Neumann boundary conditions",
    "Compute the fundamental group of the torus",
    "Find the Laplace transform of a damped oscillation",
    "Show that the halting problem is undecidable",
    "Diagonalise a Hermitian matrix",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def http(cache: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create(Settings(library_dir=SHIPPED_LIBRARY, cache_dir=cache), records=MemoryRecords())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://store") as client,
    ):
        yield client


async def search(http: httpx.AsyncClient, queries: Sequence[Query], **request: object) -> list[Retrieval]:
    found: list[Retrieval] = []
    for start in range(0, len(queries), 64):
        body = SearchRequest.model_validate({"queries": queries[start : start + 64], **request}).model_dump(mode="json")
        reply = await http.post("/v1/templates/search", json=body)
        assert reply.status_code == 200, reply.text
        found += SearchResponse.model_validate_json(reply.content).retrievals
    return found


async def test_every_template_is_chosen_by_its_name_and_any_two_of_its_tags(http: httpx.AsyncClient) -> None:
    asked = [(t.id, Query(name=t.name, tags=tags)) for t in TEMPLATES for tags in combinations(t.tags, 2)]
    found = await search(http, [query for _, query in asked])
    missed = [
        (wanted, retrieval.candidates[:2])
        for (wanted, _), retrieval in zip(asked, found, strict=True)
        if retrieval.template is None or not (retrieval.template.id == retrieval.candidates[0].template_id == wanted)
    ]
    assert missed == []


async def test_every_template_is_chosen_by_its_tags_alone(http: httpx.AsyncClient) -> None:
    found = await search(http, [Query(tags=template.tags) for template in TEMPLATES])
    assert [r.template.id if r.template else None for r in found] == [template.id for template in TEMPLATES]


async def test_questions_that_no_template_answers_get_none(http: httpx.AsyncClient) -> None:
    found = await search(http, [Query(text=text) for text in UNRELATED])
    assert [(r.query.text, r.candidates[0]) for r in found if r.template is not None] == []


async def test_a_question_in_words_finds_its_template(http: httpx.AsyncClient) -> None:
    [found] = await search(http, [Query(text="sum of the first terms of an arithmetic sequence")])
    assert found.template is not None
    assert found.template.id == "arithmetic-series-sum"


async def test_candidates_are_ranked_by_a_score_that_its_parts_explain(http: httpx.AsyncClient) -> None:
    query = Query(text="how many divisors", tags=("divisors",), field="number-theory")
    [found] = await search(http, [query], top_k=3)
    scores = [candidate.score for candidate in found.candidates]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= value <= 1 for value in scores)
    assert set(found.candidates[0].parts) == {"dense", "bm25", "tags", "field"}


async def test_a_score_does_not_depend_on_the_other_queries(http: httpx.AsyncClient) -> None:
    query = Query(text="largest number that divides both")
    [alone] = await search(http, [query])
    together = await search(http, [Query(text="area of a triangle"), query, Query(text="bananas")])
    assert [c.score for c in together[1].candidates] == pytest.approx([c.score for c in alone.candidates], abs=1e-5)


async def test_filters_are_hard(http: httpx.AsyncClient) -> None:
    query = Query(name="Sum of an Arithmetic Series")
    [geometry] = await search(http, [query], fields=("geometry",), top_k=100)
    expected = {template.id for template in TEMPLATES if template.field.startswith("geometry/")}
    assert {candidate.template_id for candidate in geometry.candidates} == expected
    assert geometry.template is None
    wanted = TEMPLATES[0].type
    [typed] = await search(http, [query], types=(wanted,), top_k=100)
    of_type = {t.id for t in TEMPLATES if t.type is wanted}
    assert {candidate.template_id for candidate in typed.candidates} <= of_type
    assert len(typed.candidates) == min(100, len(of_type))
    [nothing] = await search(http, [query], fields=("geo",))
    assert nothing.candidates == ()


async def test_a_template_is_read_by_id_and_an_unknown_one_is_not_found(http: httpx.AsyncClient) -> None:
    reply = await http.get(f"/v1/templates/{TEMPLATES[0].id}")
    assert ThoughtTemplate.model_validate_json(reply.content) == TEMPLATES[0]
    missing = await http.get("/v1/templates/no-such-template")
    assert missing.status_code == 404
    assert "no-such-template" in ErrorBody.model_validate_json(missing.content).error.message


async def test_pages_list_every_template_once(http: httpx.AsyncClient) -> None:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await http.get("/v1/templates", params={"limit": 7, "cursor": cursor})
        page = TemplatePage.model_validate_json(reply.content)
        found += [template.id for template in page.templates]
        cursor = page.next_cursor
    assert found == [template.id for template in TEMPLATES]


async def test_listing_filters_by_field_type_tag_and_status(http: httpx.AsyncClient) -> None:
    one = TEMPLATES[0]
    asked = {"field": one.field.split("/")[0], "type": one.type.value, "tag": one.tags[0].upper(), "status": "active"}
    page = TemplatePage.model_validate_json((await http.get("/v1/templates", params=asked)).content)
    assert one in page.templates
    assert all(one.tags[0] in template.tags and template.type is one.type for template in page.templates)
    retired = await http.get("/v1/templates", params={"status": "retired"})
    assert TemplatePage.model_validate_json(retired.content).templates == ()


@pytest.mark.parametrize("body", [{"queries": []}, {"queries": [{}]}, {"queries": [{"text": "x"}], "top_k": 0}])
async def test_a_request_that_says_nothing_is_refused(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await http.post("/v1/templates/search", json=body)).status_code == 400


async def test_another_library_is_not_found(http: httpx.AsyncClient) -> None:
    body = {"queries": [{"text": "x"}], "library": "chemistry"}
    assert (await http.post("/v1/templates/search", json=body)).status_code == 404


async def test_probes_and_metrics_answer(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).status_code == 200
    counted = f'reasonflux_templates{{library="math",status="active"}} {len(TEMPLATES)}.0'
    assert counted in (await http.get("/metrics")).text


async def test_before_its_start_the_service_lives_but_is_not_ready() -> None:
    transport = httpx.ASGITransport(create(Settings(), records=MemoryRecords()))
    async with httpx.AsyncClient(transport=transport, base_url="http://store") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/v1/templates")).status_code == 503


async def test_only_active_templates_are_found_but_all_are_listed(tmp_path: Path, cache: Path) -> None:
    for template in TEMPLATES[:2]:
        data = template.model_dump(mode="json") | {"status": "active" if template is TEMPLATES[0] else "retired"}
        path = tmp_path / template.field / f"{template.id}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data))
    app = create(Settings(library_dir=tmp_path, cache_dir=cache), records=MemoryRecords())
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        [found] = await search(client, [Query(name=TEMPLATES[1].name)])
        assert [candidate.template_id for candidate in found.candidates] == [TEMPLATES[0].id]
        assert len((await client.get("/v1/templates")).json()["templates"]) == 2


async def test_a_broken_library_stops_the_start_with_its_files_named(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "broken.yaml").write_text("id: broken\n")
    app = create(Settings(library_dir=tmp_path, cache_dir=cache), records=MemoryRecords())
    with pytest.raises(LibraryInvalid, match=r"broken\.yaml"):
        async with app.router.lifespan_context(app):
            pass


async def test_no_two_shipped_templates_mean_the_same() -> None:
    embedder = await SentenceEmbedder.open()
    try:
        meanings = await embedder.embed([meaning(template) for template in TEMPLATES])
    finally:
        embedder.close()
    assert duplicates(TEMPLATES, meanings) == []
