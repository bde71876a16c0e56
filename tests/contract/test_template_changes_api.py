"""What changes templates, over ASGI: the service on records in memory, with the jailed calculator."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from templates import QUARANTINED, template, unsound

from evaluation.ladder import ALL
from evaluation.studies.libraries import before_and_after
from reasonflux.client import TemplateStoreClient
from reasonflux.contracts import (
    ChangeKind,
    ErrorBody,
    FailureKind,
    ImportOutcome,
    Query,
    SearchRequest,
    TemplateStatus,
    ThoughtTemplate,
    TransferFormat,
)
from reasonflux.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed, TemplateUnsound
from reasonflux.testing.fakes import FakeTemplateStore
from template_store.app import create
from template_store.records import MemoryRecords
from template_store.settings import Settings
from template_store.testing import WordEmbedder

SHIPPED = template("shipped-one")


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    file = tmp_path / "library" / SHIPPED.field / f"{SHIPPED.id}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(SHIPPED.model_dump(mode="json", exclude={"revision", "status"})))
    settings = Settings(library_dir=tmp_path / "library", cache_dir=tmp_path / "cache", retrieval_threshold=0.1)
    app = create(settings, records=MemoryRecords(), embedder=WordEmbedder())
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://store") as client,
    ):
        yield client


@pytest.fixture
def store(http: httpx.AsyncClient) -> TemplateStoreClient:
    return TemplateStoreClient(http, "http://store")


def body(wanted: ThoughtTemplate, **changes: Any) -> dict[str, Any]:
    return {**wanted.model_dump(mode="json"), **changes}


def error(reply: httpx.Response) -> ErrorBody.Error:
    return ErrorBody.model_validate_json(reply.content).error


async def found(store: TemplateStoreClient, text: str, library: str = "math") -> list[str]:
    request = SearchRequest(queries=(Query(name=text),), top_k=100, library=library)
    [retrieval] = (await store.search(request)).retrievals
    return [candidate.template_id for candidate in retrieval.candidates]


# One template


async def test_a_created_template_is_found_at_once_and_has_an_address(
    http: httpx.AsyncClient, store: TemplateStoreClient
) -> None:
    reply = await http.post("/v1/templates", json=body(template(), revision=9), params={"by": "ada", "note": "mine"})
    assert (reply.status_code, reply.headers["etag"]) == (201, '"1"')
    assert (await http.get(reply.headers["location"])).json() == reply.json()
    assert ThoughtTemplate.model_validate_json(reply.content) == template()
    assert "double-it" in await found(store, "double it")
    [change] = (await store.history("double-it")).changes
    assert (change.kind, change.by, change.note) == (ChangeKind.CREATED, "ada", "mine")


async def test_a_template_whose_checks_fail_is_refused_with_what_is_wrong(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/templates", json=body(unsound()))
    assert reply.status_code == 422
    told = error(reply)
    assert told.type == FailureKind.TEMPLATE_UNSOUND
    assert {fault.field for fault in told.faults} >= {"example.answer", "example.check"}
    assert "quarantined" in (told.hint or "")
    assert (await http.get("/v1/templates/wrong-answer")).status_code == 404


async def test_quarantine_keeps_what_does_not_pass_and_nobody_finds_it(store: TemplateStoreClient) -> None:
    await store.create(unsound(**QUARANTINED))
    assert "wrong-answer" not in await found(store, "wrong answer")
    with pytest.raises(TemplateUnsound) as caught:
        await store.activate("wrong-answer")
    assert caught.value.faults
    sound = template("wrong-answer", revision=1, **QUARANTINED)
    assert (await store.update(sound)).revision == 2
    active = await store.activate("wrong-answer", revision=2, by="ada")
    assert (active.revision, active.status) == (3, TemplateStatus.ACTIVE)
    assert "wrong-answer" in await found(store, "wrong answer")
    assert await store.activate("wrong-answer") == active, "what changes nothing makes no revision"


async def test_an_id_and_a_name_are_taken_once(store: TemplateStoreClient) -> None:
    await store.create(template())
    with pytest.raises(Conflict, match="already, at revision 1") as caught:
        await store.create(template())
    assert caught.value.param == "id"
    with pytest.raises(Conflict, match="also the name of the template 'double-it'") as caught:
        await store.create(template("another", name="the template: double it"))
    assert caught.value.param == "name"
    await store.retire("double-it")
    assert (await store.create(template("another", name="the template: double it"))).id == "another"
    with pytest.raises(Conflict):
        await store.activate("double-it")


async def test_an_update_says_what_it_was_made_from(http: httpx.AsyncClient) -> None:
    path, wanted = "/v1/templates/shipped-one", body(SHIPPED, description="Says something else now.")
    missing = await http.put(path, json=wanted)
    assert (missing.status_code, error(missing).type) == (428, FailureKind.PRECONDITION_REQUIRED)
    assert "ETag" in (error(missing).hint or "")
    tag = (await http.get(path)).headers["etag"]
    updated = await http.put(path, json=wanted, headers={"If-Match": tag})
    assert (updated.status_code, updated.headers["etag"]) == (200, '"2"')
    late = await http.put(path, json=body(SHIPPED), headers={"If-Match": tag})
    assert (late.status_code, error(late).type) == (412, FailureKind.PRECONDITION_FAILED)
    assert "at revision 2, not 1" in error(late).message
    assert 'If-Match: "2"' in (error(late).hint or "")
    by_proxy = await http.post("/v1/templates/shipped-one/quarantine", headers={"If-Match": 'W/"2"'})
    assert by_proxy.headers["etag"] == '"3"'
    odd = await http.put(path, json=wanted, headers={"If-Match": "yesterday"})
    assert (odd.status_code, "yesterday" in error(odd).message) == (400, True)
    assert (await http.put(path, json=body(SHIPPED), headers={"If-Match": "*"})).status_code == 200


async def test_an_update_cannot_change_the_id(http: httpx.AsyncClient) -> None:
    reply = await http.put("/v1/templates/shipped-one", json=body(template()), headers={"If-Match": '"1"'})
    assert (reply.status_code, error(reply).param) == (400, "id")


@pytest.mark.parametrize("verb", ["retire", "activate", "quarantine", "rollback"])
async def test_what_is_made_from_an_older_revision_is_refused(http: httpx.AsyncClient, verb: str) -> None:
    sent = {"json": {"revision": 1}} if verb == "rollback" else {}
    reply = await http.post(f"/v1/templates/shipped-one/{verb}", headers={"If-Match": '"7"'}, **sent)
    assert (reply.status_code, error(reply).param) == (412, "If-Match")
    assert (await http.post(f"/v1/templates/nobody/{verb}", **sent)).status_code == 404


async def test_a_retired_template_is_read_but_not_found(store: TemplateStoreClient) -> None:
    await store.create(template())
    assert (await store.retire("double-it", by="ada", note="no use")).status is TemplateStatus.RETIRED
    assert await found(store, "double it") == ["shipped-one"]
    assert (await store.get("double-it")).revision == 2
    assert [t.id for t in (await store.list(status=TemplateStatus.RETIRED)).templates] == ["double-it"]


async def test_the_history_reads_every_revision_and_rolls_back_to_one(store: TemplateStoreClient) -> None:
    first = await store.create(template())
    second = await store.update(first.model_copy(update={"description": "Says something else now."}), note="reworded")
    assert await store.get("double-it", revision=1) == first
    assert await store.get("double-it", revision=2) == second
    back = await store.rollback("double-it", 1, by="ada")
    assert (back.description, back.revision) == (first.description, 3)
    changes = (await store.history("double-it")).changes
    assert [change.kind for change in changes] == [ChangeKind.CREATED, ChangeKind.UPDATED, ChangeKind.ROLLED_BACK]
    assert changes[-1].note == "back to revision 1"
    with pytest.raises(NotFound, match="no revision 9"):
        await store.rollback("double-it", 9)
    with pytest.raises(NotFound):
        await store.history("nobody")


async def test_an_unchanged_template_is_not_sent_again(http: httpx.AsyncClient) -> None:
    reply = await http.get("/v1/templates/shipped-one", headers={"If-None-Match": '"1"'})
    assert (reply.status_code, reply.content) == (304, b"")
    assert (await http.get("/v1/templates/shipped-one", headers={"If-None-Match": '"0"'})).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "x"}, "name"),
        ({"steps": [{"instruction": ""}]}, "steps.0.instruction"),
        ({"field": "Algebra"}, "field"),
        ({"tgas": ["x"]}, "tgas"),
        ({"example": None}, "example"),
        ({"status": "retired"}, "status"),
        ({"id": "export"}, "id"),
    ],
)
async def test_bad_input_is_named_with_its_reason(http: httpx.AsyncClient, change: dict[str, Any], field: str) -> None:
    reply = await http.post("/v1/templates", json=body(template(), **change))
    assert reply.status_code == 400
    assert error(reply).param == field
    assert error(reply).message.startswith(f"{field}: ")


@pytest.mark.parametrize("kind", ["fake", "service"])
async def test_the_fake_store_changes_templates_as_the_service_does(store: TemplateStoreClient, kind: str) -> None:
    either = FakeTemplateStore() if kind == "fake" else store
    first = await either.create(template(revision=5))
    assert first.revision == 1
    with pytest.raises(Conflict):
        await either.create(template())
    second = await either.update(first.model_copy(update={"description": "Says something else now."}))
    with pytest.raises(PreconditionFailed, match="is at revision 2"):
        await either.update(first)
    assert (await either.retire("double-it")).status is TemplateStatus.RETIRED
    assert (await either.retire("double-it")).revision == 3
    assert (await either.rollback("double-it", 1)).description == first.description
    assert await either.get("double-it", revision=2) == second
    assert (await either.get("double-it")).revision == 4
    for call in (either.get("nobody"), either.get("double-it", library="alchemy"), either.get("double-it", revision=9)):
        with pytest.raises(NotFound):
            await call


# Libraries


async def test_libraries_are_made_by_name_and_keep_to_themselves(
    http: httpx.AsyncClient, store: TemplateStoreClient
) -> None:
    assert (await http.put("/v1/libraries/chemistry")).status_code == 201
    assert (await http.put("/v1/libraries/chemistry")).status_code == 200
    await store.create(template(), library="chemistry")
    await store.create(template("other", **QUARANTINED), library="chemistry")
    assert await found(store, "double it", "chemistry") == ["double-it"]
    assert await found(store, "double it") == ["shipped-one"]
    with pytest.raises(NotFound):
        await store.get("double-it")
    chemistry, math = await store.libraries()
    assert (chemistry.name, chemistry.revision, math.name, math.revision) == ("chemistry", 2, "math", 1)
    assert chemistry.counts == {"active": 1, "quarantined": 1, "retired": 0}
    assert (await http.get("/v1/libraries/chemistry")).json()["revision"] == 2


async def test_a_library_that_nobody_made_is_not_found(http: httpx.AsyncClient, store: TemplateStoreClient) -> None:
    for call in (
        store.list(library="alchemy"),
        found(store, "x", "alchemy"),
        store.create(template(), library="alchemy"),
    ):
        with pytest.raises(NotFound, match="no library 'alchemy'") as caught:
            await call
        assert "there are: math" in (caught.value.failure.hint or "")
    refused = await http.put("/v1/libraries/Not%20a%20Name")
    assert (refused.status_code, error(refused).param) == (400, "name")


async def test_held_out_templates_are_found_in_the_library_that_they_were_added_to_and_not_in_the_one_before(
    store: TemplateStoreClient,
) -> None:
    held = ALL["meeting-time"].template_id
    await store.create(template(held, name="Meeting of two walkers"))
    for _ in range(2):  # the second time changes nothing
        assert await before_and_after(store, "math", ["meeting-time"]) == {"math-before": 1, "math-after": 2}
        assert await found(store, "meeting of two walkers", "math-before") == ["shipped-one"]
        assert (await found(store, "meeting of two walkers", "math-after"))[0] == held
    assert {library.name: library.revision for library in await store.libraries()}["math-after"] == 2


# Many at once


async def test_an_import_is_quarantined_and_reported_entry_by_entry(store: TemplateStoreClient) -> None:
    lines = [
        json.dumps(body(template())),
        "{not json",
        "",
        json.dumps(body(template("no-steps"), steps=[])),
        json.dumps(body(template("same-name"), name=template().name)),
        json.dumps(body(SHIPPED, description="Says something else now.")),
        json.dumps(body(unsound())),
    ]
    report = await store.import_templates("\n".join(lines).encode(), by="ada", note="from afar")
    told = [(entry.place, entry.template_id, entry.outcome) for entry in report.entries]
    assert told == [
        ("line 1", "double-it", ImportOutcome.CREATED),
        ("line 2", None, ImportOutcome.REFUSED),
        ("line 4", "no-steps", ImportOutcome.REFUSED),
        ("line 5", "same-name", ImportOutcome.REFUSED),
        ("line 6", "shipped-one", ImportOutcome.REFUSED),
        ("line 7", "wrong-answer", ImportOutcome.CREATED),
    ]
    assert [entry.faults[0].field for entry in report.entries if entry.faults] == ["", "steps", "name", "id"]
    assert all(entry.hint for entry in report.entries if entry.outcome is ImportOutcome.REFUSED and entry.template_id)
    assert report.counts == {"created": 2, "updated": 0, "unchanged": 0, "refused": 4}
    assert (await store.get("wrong-answer")).status is TemplateStatus.QUARANTINED
    assert (await store.history("double-it")).changes[0].kind is ChangeKind.IMPORTED
    again = await store.import_templates("\n".join(lines[:1]).encode())
    assert [entry.outcome for entry in again.entries] == [ImportOutcome.UNCHANGED]


async def test_an_import_as_active_must_pass_the_checks(store: TemplateStoreClient) -> None:
    content = json.dumps([body(template()), body(unsound())]).encode()
    report = await store.import_templates(content, TransferFormat.JSON, status=TemplateStatus.ACTIVE)
    assert [entry.outcome for entry in report.entries] == [ImportOutcome.CREATED, ImportOutcome.REFUSED]
    assert "example.answer" in [fault.field for fault in report.entries[1].faults]
    assert "double-it" in await found(store, "double it")


async def test_an_import_as_active_may_be_longer_than_the_line_of_the_checks(store: TemplateStoreClient) -> None:
    lines = [json.dumps(body(template(f"number-{n}", name=f"Number {n}"))) for n in range(80)]
    report = await store.import_templates("\n".join(lines).encode(), status=TemplateStatus.ACTIVE)
    assert report.counts["created"] == 80


async def test_an_import_may_replace_what_is_there(store: TemplateStoreClient) -> None:
    changed = SHIPPED.model_copy(update={"description": "Says something else now."})
    report = await store.import_templates(changed.model_dump_json().encode(), update=True)
    assert [entry.outcome for entry in report.entries] == [ImportOutcome.UPDATED]
    assert (await store.get("shipped-one")).revision == 2


@pytest.mark.parametrize("form", [TransferFormat.JSONL, TransferFormat.YAML])
async def test_what_is_exported_can_be_imported_whole(store: TemplateStoreClient, form: TransferFormat) -> None:
    for n in range(5):
        await store.create(template(f"number-{n}", description=f"Ünïcode “{n}”: naïve & <tagged>\nand two lines."))
    content = b"".join([piece async for piece in store.export(form)])
    await store.create_library("copy")
    report = await store.import_templates(content, form, library="copy", status=TemplateStatus.ACTIVE)
    assert report.counts["created"] == 6
    copied = (await store.list(library="copy")).templates
    assert copied == (await store.list()).templates


async def test_an_export_is_filtered_as_a_list_is(http: httpx.AsyncClient, store: TemplateStoreClient) -> None:
    await store.create(template("quarantined-one", **QUARANTINED))
    reply = await http.get("/v1/templates/export", params={"status": "quarantined", "format": "jsonl"})
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in reply.text.splitlines()] == ["quarantined-one"]


@pytest.mark.parametrize(
    ("content", "content_type", "says"),
    [
        (b"x", "text/csv", "format"),
        (b"\xff", "application/yaml", "UTF-8"),
        (b"a: [", "application/yaml", "line 1: it is not YAML"),
        (b"id: a\nid: b", "application/yaml", "stands twice"),
        (b"? [1,2]\n: 3", "application/yaml", "line 1: it is not YAML: a list or mapping is a key"),
        (b"a: !!timestamp abc", "application/yaml", "cannot be read"),
        (b"a: !!bool abc", "application/yaml", "cannot be read"),
        (b"a: &x b\nc: *x", "application/yaml", "line 1: it is not YAML: anchors and aliases"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "application/yaml", "stands twice"),
        (b"[" * 100_000, "application/json", "not JSON"),
        (b"{", "application/json", "not JSON"),
        (b"", "application/jsonl", "no template"),
    ],
)
async def test_an_import_that_cannot_be_read_at_all_says_why(
    http: httpx.AsyncClient, content: bytes, content_type: str, says: str
) -> None:
    reply = await http.post("/v1/templates/import", content=content, headers={"Content-Type": content_type})
    assert reply.status_code == 400
    assert says in error(reply).message
    assert error(reply).hint


async def test_yaml_that_reads_text_as_a_number_says_to_quote_it(http: httpx.AsyncClient) -> None:
    content = yaml.safe_dump(body(template())).replace("answer: '42'", "answer: 42")
    reply = await http.post("/v1/templates/import", content=content, headers={"Content-Type": "application/yaml"})
    [entry] = reply.json()["entries"]
    assert entry["faults"][0]["field"] == "example.answer"
    assert 'quote it: "42"' in entry["faults"][0]["message"]


async def test_what_is_there_with_another_status_is_not_reported_as_unchanged(store: TemplateStoreClient) -> None:
    content = template().model_dump_json().encode()
    await store.import_templates(content)
    refused = await store.import_templates(content, status=TemplateStatus.ACTIVE)
    assert [entry.outcome for entry in refused.entries] == [ImportOutcome.REFUSED]
    assert "existing=update" in (refused.entries[0].hint or "")
    updated = await store.import_templates(content, status=TemplateStatus.ACTIVE, update=True)
    assert [entry.outcome for entry in updated.entries] == [ImportOutcome.UPDATED]
    assert (await store.get("double-it")).status is TemplateStatus.ACTIVE
    again = await store.import_templates(content, status=TemplateStatus.ACTIVE)
    assert [entry.outcome for entry in again.entries] == [ImportOutcome.UNCHANGED]


# Safety

HALF = "\ud800"
STEP = {"instruction": "Double the number."}
TOO_MUCH = [
    ({"description": "x" * 8_001}, "description", "8,001 characters"),
    ({"scope": ["twice"] * 101}, "scope", "101 items"),
    ({"steps": [STEP] * 51}, "steps", "51 items"),
    ({"variables": {f"v{n}": "x" for n in range(61)}}, "variables", "61 items"),
    ({"scope": ["x" * 7_000] * 20}, "body", "bytes of JSON"),
    ({"description": f"half a pair: {HALF}"}, "description", "surrogate"),
    ({HALF: 1}, "?", "surrogate"),
]


@pytest.mark.parametrize(("change", "field", "says"), TOO_MUCH)
async def test_too_much_of_something_is_refused_on_every_way_in(
    http: httpx.AsyncClient, change: dict[str, Any], field: str, says: str
) -> None:
    created = await http.post("/v1/templates", content=json.dumps(body(template(), **change)))
    headers = {"If-Match": '"1"'}
    updated = await http.put("/v1/templates/shipped-one", content=json.dumps(body(SHIPPED, **change)), headers=headers)
    for reply in (created, updated):
        assert (reply.status_code, error(reply).param) == (400, field)
        assert says in error(reply).message
    lines = "\n".join([json.dumps(body(template("odd-one"), **change)), json.dumps(body(template()))])
    reply = await http.post("/v1/templates/import", content=lines, headers={"Content-Type": "application/jsonl"})
    odd, good = reply.json()["entries"]
    assert (odd["template_id"], odd["outcome"], good["outcome"]) == ("odd-one", "refused", "created")
    assert (odd["faults"][0]["field"] or "body") == field
    assert says in odd["faults"][0]["message"]


async def test_a_template_at_the_limits_is_taken(http: httpx.AsyncClient) -> None:
    large = body(template(), description="x" * 8_000, scope=["twice"] * 100, status="quarantined")
    assert (await http.post("/v1/templates", json=large)).status_code == 201


async def test_a_body_that_is_too_large_is_not_read_to_its_end(http: httpx.AsyncClient) -> None:
    sent = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(128):
            sent += 64 * 1024
            yield b" " * 64 * 1024

    for method, path, most in (
        ("POST", "/v1/templates", "256 KiB"),
        ("PUT", "/v1/templates/x", "256 KiB"),
        ("POST", "/v1/templates/search", "2 MiB"),
    ):
        sent = 0
        reply = await http.request(method, path, content=large())
        assert (reply.status_code, error(reply).message) == (400, f"body: more than {most}")
        assert sent < 4 * 1024**2


async def test_half_a_surrogate_pair_in_a_search_is_bad_input(http: httpx.AsyncClient) -> None:
    for sent in ({"queries": [{"text": HALF}]}, {"queries": [{"text": "x", HALF: 1}]}, {"queries": [], HALF: HALF}):
        reply = await http.post("/v1/templates/search", content=json.dumps(sent))
        assert reply.status_code == 400
        assert "surrogate" in error(reply).message


@pytest.mark.parametrize(
    ("line", "template_id"),
    [
        (json.dumps({"id": HALF}), "?"),
        (json.dumps({HALF: 1}), None),
        (json.dumps(HALF), None),
        ("[" * 900 + "]" * 900, None),
        ("[" * 100_000, None),
        ("7", None),
    ],
)
async def test_hostile_lines_are_refused_alone(http: httpx.AsyncClient, line: str, template_id: str | None) -> None:
    content = f"{line}\n{json.dumps(body(template()))}"
    reply = await http.post("/v1/templates/import", content=content, headers={"Content-Type": "application/jsonl"})
    odd, good = reply.json()["entries"]
    assert (odd["template_id"], odd["outcome"], good["outcome"]) == (template_id, "refused", "created")


async def test_more_templates_than_one_import_takes_are_refused(http: httpx.AsyncClient) -> None:
    content, headers = b"7\n" * 50_001, {"Content-Type": "application/jsonl"}
    reply = await http.post("/v1/templates/import", content=content, headers=headers)
    assert (reply.status_code, "more than 50,000" in error(reply).message) == (400, True)


async def test_a_revision_that_no_template_can_have_is_not_an_outage(http: httpx.AsyncClient) -> None:
    path = "/v1/templates/shipped-one"
    for revision, status in ((2**53, 404), (10**25, 400)):
        assert (await http.get(path, params={"revision": revision})).status_code == status
        assert (await http.post(f"{path}/rollback", json={"revision": revision})).status_code == status


async def test_a_query_that_is_too_long_is_cut_not_refused(http: httpx.AsyncClient) -> None:
    query = {"name": "n" * 300, "tags": ["t" * 150] * 20, "text": "x" * 9_000}
    reply = await http.post("/v1/templates/search", json={"queries": [query]})
    assert reply.status_code == 200
    read = reply.json()["retrievals"][0]["query"]
    assert (read["name"], read["tags"], read["text"]) == ("n" * 200, ["t" * 100] * 16, "x" * 8_000)


async def test_formulas_of_strangers_hold_nothing_up_but_their_own_request(store: TemplateStoreClient) -> None:
    endless = template("endless").example.model_copy(update={"check": "answer == sum(sum(j, j, 1, 9999), k, 1, 9999)"})
    asking = asyncio.create_task(store.create(template("endless", example=endless)))
    for _ in range(5):
        assert await found(store, "shipped one") == ["shipped-one"]
    with pytest.raises(TemplateUnsound):
        await asking


async def test_of_concurrent_updates_from_one_revision_one_is_made(store: TemplateStoreClient) -> None:
    first = await store.create(template())
    drafts = [first.model_copy(update={"description": f"Writer number {n} was here."}) for n in range(8)]
    outcomes = await asyncio.gather(*(store.update(draft) for draft in drafts), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, ThoughtTemplate)]
    assert len(made) == 1
    assert all(isinstance(outcome, PreconditionFailed) for outcome in outcomes if outcome not in made)
    assert await store.get("double-it") == made[0]


async def test_a_client_is_told_what_is_wrong_as_typed_errors(store: TemplateStoreClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await store.import_templates(b"{}", TransferFormat.JSONL, status=TemplateStatus.RETIRED)
    assert caught.value.param == "status"
