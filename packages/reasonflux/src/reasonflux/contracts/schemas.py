"""JSON schemas of the public contracts, for those who do not use Python.

`python -m reasonflux.contracts.schemas docs/schemas` writes one file for each.
"""

import json
import sys
from pathlib import Path

from reasonflux.contracts import (
    CalculateRequest,
    CalculateResponse,
    Contract,
    CreateSession,
    Delta,
    Entry,
    ErrorBody,
    EventPage,
    Exchange,
    ImportReport,
    InstantiateEvent,
    InstantiateRequest,
    Instantiation,
    LibraryInfo,
    LibraryList,
    Problem,
    Prompt,
    Review,
    RollbackRequest,
    SearchRequest,
    SearchResponse,
    Session,
    TemplateChange,
    TemplateHistory,
    TemplatePage,
    ThoughtTemplate,
    Trajectory,
)

PUBLIC: dict[str, type[Contract]] = {
    "calculate-request": CalculateRequest,
    "calculate-response": CalculateResponse,
    "create-session": CreateSession,
    "delta": Delta,
    "entry": Entry,
    "error": ErrorBody,
    "event-page": EventPage,
    "exchange": Exchange,
    "import-report": ImportReport,
    "instantiate-event": InstantiateEvent,
    "instantiate-request": InstantiateRequest,
    "instantiation": Instantiation,
    "library-info": LibraryInfo,
    "library-list": LibraryList,
    "problem": Problem,
    "prompt": Prompt,
    "review": Review,
    "rollback-request": RollbackRequest,
    "search-request": SearchRequest,
    "search-response": SearchResponse,
    "session": Session,
    "template-change": TemplateChange,
    "template-history": TemplateHistory,
    "template-page": TemplatePage,
    "thought-template": ThoughtTemplate,
    "trajectory": Trajectory,
}


def rendered() -> dict[str, str]:
    """File name → content, of every public contract. Schemas describe what goes over the wire."""
    return {
        f"{name}.schema.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **contract.model_json_schema()},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for name, contract in PUBLIC.items()
    }


def main(folder: Path) -> None:
    """Write the schemas into `folder` and remove those of contracts that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    files = rendered()
    for stale in set(folder.glob("*.schema.json")) - {folder / name for name in files}:
        stale.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    print(f"{len(files)} schemas in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m reasonflux.contracts.schemas FOLDER")
    main(Path(sys.argv[1]))
