"""What the endpoints stand on."""

from dataclasses import dataclass

from template_store.editing import Editor
from template_store.exchange.bulk import Importer
from template_store.libraries import Libraries
from template_store.ports import Records


@dataclass(frozen=True)
class OpenStore:
    """An open store; app.py makes it and closes it."""

    records: Records
    libraries: Libraries
    editor: Editor
    importer: Importer

    async def ready(self) -> None:
        """Raises what keeps this store from being up to date and from writing. It may still search."""
        await self.records.ping()
        self.libraries.check()
