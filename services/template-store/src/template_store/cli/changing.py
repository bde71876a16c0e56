"""Commands that change templates of a running store. Every change stands in the history."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import yaml

from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from reasonflux.errors import InvalidRequest, ReasonFluxError
from reasonflux.store_client import TemplateStoreClient
from template_store import library as on_disk
from template_store.cli.asking import MATH, ByOption, LibraryOption, NoteOption, ask, console, plain, said
from template_store.growth import DRAFTED


def add(
    files: Annotated[list[Path], typer.Argument(help="YAML files, a template each")],
    quarantined: Annotated[bool, typer.Option(help="keep it from being found until it is activated")] = False,
    library: LibraryOption = MATH,
    by: ByOption = "",
    note: NoteOption = "",
) -> None:
    """Add templates. Search finds them at once, unless they are quarantined."""
    status = TemplateStatus.QUARANTINED if quarantined else TemplateStatus.ACTIVE
    templates = [on_disk.read_template(path).model_copy(update={"status": status}) for path in files]

    async def added(store: TemplateStoreClient) -> None:
        for template in templates:
            said(await store.create(template, library=library, by=by, note=note))

    ask(added)


def edit(template_id: str, library: LibraryOption = MATH, by: ByOption = "", note: NoteOption = "") -> None:
    """Change a template in your editor ($VISUAL or $EDITOR). Nothing is lost when the change is refused."""
    template = ask(lambda store: store.get(template_id, library=library))
    folder = Path(tempfile.mkdtemp(prefix="reasonflux-"))
    path = folder / f"{template.id}.yaml"
    before = _as_yaml(template).encode()
    path.write_bytes(before)
    try:
        _open_editor(path)
        if _saved(path) == before:
            console.print("nothing changed")
        else:
            changed = _edited(path, template)
            said(ask(lambda store: store.update(changed, library=library, by=by, note=note)))
    except ReasonFluxError:
        if path.exists() and path.read_bytes() != before:
            console.print(plain(f"your text is kept in {path}"), soft_wrap=True)
        else:
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _saved(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"the editor left no {path}: {error.strerror}; nothing was changed") from error


def _edited(path: Path, template: ThoughtTemplate) -> ThoughtTemplate:
    changed = on_disk.read_template(path)
    if changed.id != template.id:
        raise InvalidRequest(
            f"id: is {changed.id!r}, but {template.id!r} was to be edited; an id never changes",
            hint="add it as a new template with `templates add`, and retire this one",
        )
    return changed.model_copy(update={"revision": template.revision})


def _as_yaml(template: ThoughtTemplate) -> str:
    data = template.model_dump(mode="json", exclude={"revision"}, exclude_none=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _open_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except (OSError, ValueError) as error:  # ValueError: a quotation that does not end
        raise InvalidRequest(f"the editor {editor} cannot be started: {error}", hint="set EDITOR") from error
    if ended.returncode:
        raise InvalidRequest(f"the editor {editor!r} ended with {ended.returncode}; nothing was changed")


def activate(
    template_id: str,
    library: LibraryOption = MATH,
    by: ByOption = "",
    note: NoteOption = "",
    untried: Annotated[bool, typer.Option(help="a draft too, without a trial: where no engine is at hand")] = False,
) -> None:
    """Let search find a template. It must pass the machine checks; an LLM's draft must pass its trial first."""
    template = ask(lambda store: store.get(template_id, library=library))
    if template.provenance.source == DRAFTED and not untried:
        from template_store.cli.growing import trial

        trial(template_id, library=library, by=by, activate=True)
    else:
        said(ask(lambda store: store.activate(template_id, library=library, by=by, note=note)))


def quarantine(template_id: str, library: LibraryOption = MATH, by: ByOption = "", note: NoteOption = "") -> None:
    """Keep a template from being found until it is activated again."""
    said(ask(lambda store: store.quarantine(template_id, library=library, by=by, note=note)))


def retire(template_id: str, library: LibraryOption = MATH, by: ByOption = "", note: NoteOption = "") -> None:
    """Take a template out of use; its history stays."""
    said(ask(lambda store: store.retire(template_id, library=library, by=by, note=note)))


def rollback(
    template_id: str,
    to: Annotated[int, typer.Option(min=1, help="the revision to go back to; `templates history` shows them")],
    library: LibraryOption = MATH,
    by: ByOption = "",
    note: NoteOption = "",
) -> None:
    """Make a template again what it was."""
    said(ask(lambda store: store.rollback(template_id, to, library=library, by=by, note=note)))
