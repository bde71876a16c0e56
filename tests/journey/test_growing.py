"""A library that grows while everything runs: what is added is used by the next session, what is retired by none."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import yaml
from embedded import GROWING, Embedded

from reasonflux.client import NavigatorClient, TemplateStoreClient
from reasonflux.contracts import CreateSession, Outcome, Query, Session, SessionFinished, TemplateStatus
from reasonflux.contracts.events import Entry
from reasonflux.http import http_client
from template_store.settings import SHIPPED_LIBRARY

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

# 3*(2**6 - 1)/(2 - 1) = 189
SUM = "A geometric sequence has first term 3 and common ratio 2. What is the sum of its first 6 terms?"
FILE = SHIPPED_LIBRARY / "algebra" / "sequences" / "geometric-series-sum.yaml"
IN_LIBRARY = {"library": GROWING}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client() as client:
        yield client


class Growing:
    """The library and the sessions in it, over HTTP."""

    def __init__(self, http: httpx.AsyncClient, stack: Embedded) -> None:
        self._http = http
        self._store_url = stack.url("template_store")
        self._navigator = NavigatorClient(http, stack.url("navigator"))
        self.store = TemplateStoreClient(http, self._store_url)

    async def solved(self) -> Session:
        """A new session of the problem, at its end."""
        created = await self._navigator.create(CreateSession(problem=SUM, library=GROWING))
        last = [item async for item in self._navigator.events(created.id) if isinstance(item, Entry)][-1]
        assert isinstance(last.event, SessionFinished)
        return await self._navigator.get(created.id)

    async def put(self) -> httpx.Response:
        return await self._http.put(f"{self._store_url}/v1/libraries/{GROWING}")

    async def post(self, path: str = "", **sent: Any) -> httpx.Response:
        return await self._http.post(f"{self._store_url}/v1/templates{path}", params=IN_LIBRARY, **sent)


def used(session: Session) -> list[str]:
    """The templates that its steps retrieved."""
    retrievals = [state.retrieval for state in session.steps if state.retrieval is not None]
    return [retrieval.template.id for retrieval in retrievals if retrieval.template is not None]


def asked(session: Session) -> list[Query]:
    return [state.retrieval.query for state in session.steps if state.retrieval is not None]


async def test_a_template_is_used_from_when_it_is_added_until_it_is_retired(
    http: httpx.AsyncClient, embedded: Embedded
) -> None:
    growing = Growing(http, embedded)
    assert (await growing.put()).status_code == 201

    before = await growing.solved()
    assert asked(before), "no step looked for a template"
    assert used(before) == []
    assert before.options.library == GROWING

    added = await growing.post(json=yaml.safe_load(FILE.read_text(encoding="utf-8")))
    assert (added.status_code, added.headers["etag"]) == (201, '"1"')

    with_it = await growing.solved()
    assert (with_it.outcome, with_it.answer) == (Outcome.SOLVED, "189")
    (state,) = with_it.steps
    assert used(with_it) == ["geometric-series-sum"]
    assert state.instantiations[-1].bindings == {"first": "3", "ratio": "2", "n": "6"}
    assert [calculation.value for calculation in state.instantiations[-1].calculations] == ["189"]

    assert (await growing.post("/geometric-series-sum/retire")).status_code == 200
    after = await growing.solved()
    assert asked(after)
    assert used(after) == []
    retired = await growing.store.get("geometric-series-sum", library=GROWING)
    assert (retired.status, retired.revision) == (TemplateStatus.RETIRED, 2)


async def test_what_grows_there_is_not_in_the_shipped_library(http: httpx.AsyncClient, embedded: Embedded) -> None:
    growing = Growing(http, embedded)
    assert (await growing.put()).status_code in {200, 201}
    own = {info.name: info.counts for info in await growing.store.libraries()}
    assert set(own) == {"math", GROWING}
    assert own["math"][TemplateStatus.ACTIVE] > 500
    assert (await growing.store.get("geometric-series-sum")).status is TemplateStatus.ACTIVE
