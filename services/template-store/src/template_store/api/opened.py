"""What the endpoints stand on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from reasonflux import tracing
from reasonflux.contracts import SearchRequest, SearchResponse
from template_store.editing import Editor
from template_store.exchange.bulk import Importer
from template_store.libraries import Libraries
from template_store.ports import Records

Searched = Callable[[str, SearchResponse, float], None]
"""Hears of each search: the library, what was found, and the seconds that it took."""


@dataclass(frozen=True)
class OpenStore:
    """An open store; app.py makes it and closes it."""

    records: Records
    libraries: Libraries
    editor: Editor
    importer: Importer
    searched: Searched | None = None

    async def search(self, request: SearchRequest) -> SearchResponse:
        """One retrieval per query, in the library that it names. Raises LibraryNotFound."""
        started = time.perf_counter()
        library = await self.libraries.find(request.library)
        with tracing.span("search", attributes={"reasonflux.library": library.name}) as span:
            found = await library.search(request)
            span.tell("reasonflux.abstained", sum(retrieval.template is None for retrieval in found.retrievals))
            if self.searched is not None:
                self.searched(library.name, found, time.perf_counter() - started)
        return found

    async def ready(self) -> None:
        """Raises what keeps this store from being up to date and from writing. It may still search."""
        await self.records.ping()
        self.libraries.check()
