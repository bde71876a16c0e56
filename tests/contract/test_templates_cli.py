"""`reasonflux templates …` as a user meets it: the whole command line against a store that is served on loopback.

The store is the real app on records in memory, without a model; what needs the embedding model is marked.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import pytest
import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp
from templates import QUARANTINED, template, unsound

from calculator import evaluate_in_process
from executor.app import create as create_executor
from executor.prompting import Profile
from executor.settings import Settings as ExecutorSettings
from reasonflux.cli import main
from reasonflux.contracts import Calculation, Provenance, TemplateType, ThoughtTemplate
from reasonflux.observing import configure_logging
from reasonflux.testing.fake_engine import Call, FakeEngine, fake_openai_app
from reasonflux.testing.serving import served
from template_store.app import create
from template_store.growth import DRAFTED
from template_store.records import MemoryRecords
from template_store.settings import Settings
from template_store.testing import WordEmbedder

SHIPPED = template("shipped-one", field="algebra/doubling")
COMMAND = Path(sys.executable).with_name("reasonflux")
NOBODY = "http://127.0.0.1:9"


class Ended(NamedTuple):
    """What a command printed, white space folded, and its exit code."""

    code: int
    out: str
    err: str


class Command(Protocol):
    def __call__(self, *arguments: object) -> Ended: ...


Serve = Callable[[ASGIApp], str]


class InProcess:
    """The calculator without its jail: these templates are our own."""

    async def evaluate(
        self, statements: Sequence[str], names: Mapping[str, str] | None = None
    ) -> tuple[Calculation, ...]:
        return evaluate_in_process(statements, names or {})


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread of its own: commands run loops themselves, in the main thread."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def serve(portal: BlockingPortal) -> Iterator[Serve]:
    """Serves an app until the test ends; gives its URL. Its log is silent: it would mix with what commands print."""
    with ExitStack() as stack:
        stack.callback(configure_logging)

        def serving(app: ASGIApp) -> str:
            configure_logging("CRITICAL")
            return stack.enter_context(portal.wrap_async_context_manager(served(app)))

        yield serving


def in_folder(folder: Path, *templates: ThoughtTemplate) -> Path:
    """A library folder with these templates."""
    for each in templates:
        file = folder / each.field / f"{each.id}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        data = each.model_dump(mode="json", exclude={"revision", "status"}, exclude_none=True)
        file.write_text(yaml.safe_dump(data, sort_keys=False))
    return folder


def in_file(path: Path, each: ThoughtTemplate) -> Path:
    path.write_text(yaml.safe_dump(each.model_dump(mode="json", exclude={"revision", "status"})))
    return path


def lines(path: Path, *entries: Any) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def store(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The store that the commands talk to, at its root."""
    settings = Settings(
        library_dir=in_folder(tmp_path / "shipped", SHIPPED), cache_dir=tmp_path / "cache", retrieval_threshold=0.3
    )
    url = serve(create(settings, records=MemoryRecords(), embedder=WordEmbedder(), calculator=InProcess()))
    monkeypatch.setenv("REASONFLUX_TEMPLATE_STORE_URL", url)
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """`reasonflux templates` in this process. What is no sentence and exit code, a traceback, fails the test."""
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("USER", "ada")
    monkeypatch.delenv("VISUAL", raising=False)
    for service in ("EXECUTOR", "NAVIGATOR", "TEACHER"):
        monkeypatch.setenv(f"REASONFLUX_{service}_URL", "" if service == "TEACHER" else NOBODY)
    monkeypatch.setenv("REASONFLUX_CACHE_DIR", str(tmp_path / "cli-cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["reasonflux", "templates", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), " ".join(told.out.split()), " ".join(told.err.split()))

    return run


def held(store: httpx.Client, template_id: str, library: str = "math") -> ThoughtTemplate:
    reply = store.get(f"/v1/templates/{template_id}", params={"library": library})
    return ThoughtTemplate.model_validate_json(reply.raise_for_status().content)


def post(store: httpx.Client, each: ThoughtTemplate) -> None:
    store.post("/v1/templates", json=each.model_dump(mode="json")).raise_for_status()


def ids(store: httpx.Client, **asked: str) -> list[str]:
    return [each["id"] for each in store.get("/v1/templates", params=asked).json()["templates"]]


# Look


def test_search_tells_what_fits_and_what_is_chosen(store: httpx.Client, templates: Command) -> None:
    found = templates("search", "twice a number in the way of shipped one", "--tag", "doubling", "--top", 3)
    assert (found.code, found.err) == (0, "")
    assert "The template shipped one" in found.out
    assert found.out.endswith("chosen: shipped-one")
    assert templates("search", "--name", SHIPPED.name).out.endswith("chosen: shipped-one")


def test_search_abstains_in_words(store: httpx.Client, templates: Command) -> None:
    found = templates("search", "haiku about autumn leaves")
    assert (found.code, "chosen: none, nothing fits well enough" in found.out) == (0, True)


@pytest.mark.parametrize("arguments", [(), ("",), ("  ", "--name", " ")])
def test_an_empty_query_is_told_what_to_say(templates: Command, arguments: tuple[str, ...]) -> None:
    found = templates("search", *arguments)
    assert (found.code, found.out) == (1, "")
    assert "error: the query is empty → say what the step is about: templates search" in found.err


def test_show_prints_the_template_as_it_is_or_was(store: httpx.Client, templates: Command) -> None:
    shown = templates("show", "shipped-one")
    assert shown.code == 0
    for part in ("formula_rule in algebra/doubling", "active, revision 1", "1. Double the number.", "twice = 2*a"):
        assert part in shown.out
    assert "example: What is twice 21? 2*21 = 42 answer: 42 check: answer - a == a" in shown.out
    templates("quarantine", "shipped-one")
    assert "quarantined, revision 2" in templates("show", "shipped-one").out
    assert "active, revision 1" in templates("show", "shipped-one", "--revision", 1).out


def test_what_is_not_there_is_a_sentence(store: httpx.Client, templates: Command) -> None:
    for arguments, message in (
        (("show", "nobody"), "error: there is no template 'nobody'"),
        (("show", "shipped-one", "--revision", 9), "error: the template 'shipped-one' has no revision 9"),
        (("history", "nobody"), "error: there is no template 'nobody'"),
        (("retire", "nobody"), "error: there is no template 'nobody'"),
        (("list", "--library", "alchemy"), "error: there is no library 'alchemy'"),
        (("search", "x", "--library", "alchemy"), "error: there is no library 'alchemy'"),
    ):
        ended = templates(*arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(message)


def test_list_filters_by_field_type_tag_and_status(store: httpx.Client, templates: Command) -> None:
    post(store, template("a-theorem", type=TemplateType.PROPERTY_THEOREM, field="geometry/circles", tags=("circle",)))
    post(store, template("a-draft", field="geometry", **QUARANTINED))
    for arguments, wanted in (
        ((), ["a-draft", "a-theorem", "shipped-one"]),
        (("--field", "geometry"), ["a-draft", "a-theorem"]),
        (("--field", "geo"), []),
        (("--type", "property_theorem"), ["a-theorem"]),
        (("--tag", "circle"), ["a-theorem"]),
        (("--status", "quarantined"), ["a-draft"]),
        (("--field", "geometry", "--status", "active"), ["a-theorem"]),
    ):
        listed = templates("list", *arguments)
        assert listed.code == 0
        assert [each for each in ("a-draft", "a-theorem", "shipped-one") if f"│ {each} " in listed.out] == wanted
        assert listed.out.endswith(f"{len(wanted)} template(s)")
    refused = templates("list", "--status", "lost")
    assert (refused.code, "'quarantined', 'active', 'retired'" in refused.err) == (2, True)


def test_a_listing_has_all_pages(store: httpx.Client, templates: Command, tmp_path: Path) -> None:
    many = [template(f"number-{n}").model_dump(mode="json") for n in range(205)]
    assert templates("import", lines(tmp_path / "many.jsonl", *many)).code == 0
    assert templates("list").out.endswith("206 template(s)")


def test_stats_and_libraries_count(store: httpx.Client, templates: Command) -> None:
    post(store, template("another", field="algebra/roots"))
    post(store, template("a-draft", **QUARANTINED))
    store.put("/v1/libraries/chemistry")
    told = templates("stats").out
    assert "math: 2 active templates" in told
    assert re.search(r"algebra: 2 .* doubling: 1 .* roots: 1", told)
    assert "status: active 2, quarantined 1 type: formula_rule 2 source: reasonflux 3" in told
    rows = templates("libraries").out
    assert re.search(r"│ chemistry +│ 0 +│ 0 +│ 0 +│ 0 +│ .*│ math +│ 3 +│ 1 +│ 2 +│ 0 +│", rows)


def test_without_a_service_every_command_says_which_one_is_missing(
    templates: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (NOBODY, "localhost:8002", "http://[", ""):
        monkeypatch.setenv("REASONFLUX_TEMPLATE_STORE_URL", url)
        for arguments in (("libraries",), ("search", "x"), ("retire", "x"), ("export",)):
            ended = templates(*arguments)
            assert (ended.code, ended.out) == (1, "")
            assert "error: cannot reach template store" in ended.err
            assert "REASONFLUX_TEMPLATE_STORE_URL" in ended.err


def test_the_installed_command_says_it_without_a_traceback() -> None:
    env = {**os.environ, "REASONFLUX_TEMPLATE_STORE_URL": NOBODY}
    ended = subprocess.run([COMMAND, "templates", "libraries"], env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cannot reach template store")
    assert "Traceback" not in ended.stderr


# Change


def test_an_added_template_is_active_and_its_author_is_known(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    files = [in_file(tmp_path / f"{name}.yaml", template(name)) for name in ("double-it", "twice-it")]
    added = templates("add", *files, "--note", "from the course")
    assert added == (0, "double-it: active, revision 1 twice-it: active, revision 1", "")
    assert "double-it" in templates("search", "double it").out
    told = templates("history", "double-it").out
    assert "created" in told
    assert "ada" in told
    assert "from the course" in told
    again = templates("add", files[0])
    assert (again.code, again.out) == (1, "")
    assert "error: id: there is a template 'double-it' already, at revision 1" in again.err


def test_a_quarantined_one_is_not_found_until_it_is_activated(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    file = in_file(tmp_path / "x.yaml", template())
    assert templates("add", "--quarantined", file).out == "double-it: quarantined, revision 1"
    assert "double-it" not in templates("search", "double it").out
    assert templates("activate", "double-it").out == "double-it: active, revision 2"
    assert "double-it" in templates("search", "double it").out


def test_what_fails_its_checks_is_refused_with_everything_that_is_wrong(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    file = in_file(tmp_path / "x.yaml", unsound())
    refused = templates("add", file)
    assert refused.code == 1
    assert "error: the template 'wrong-answer' does not pass its checks: example.answer: the formulas" in refused.err
    assert "42, not 43" in refused.err
    assert "'answer - a == a' gives False" in refused.out + refused.err, "the second fault is shown as well"
    assert ids(store) == ["shipped-one"]
    assert templates("add", "--quarantined", file).code == 0
    assert templates("activate", "wrong-answer").code == 1
    assert held(store, "wrong-answer").status == "quarantined"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("name: [", "line 1"),
        ("just words", "ThoughtTemplate"),
        ("name: x\n", "id: Field required"),
        (b"\xff\xfe", "decode"),
    ],
)
def test_a_file_that_is_no_template_is_named(
    templates: Command, tmp_path: Path, content: str | bytes | None, told: str
) -> None:
    file = tmp_path / "broken.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused = templates("add", file)
    assert refused.code == 1
    assert "broken.yaml" in refused.err
    assert told in refused.err


def test_status_commands_move_a_template_and_rollback_makes_it_what_it_was(
    store: httpx.Client, templates: Command
) -> None:
    assert templates("quarantine", "shipped-one", "--by", "bob").out == "shipped-one: quarantined, revision 2"
    assert templates("retire", "shipped-one", "--note", "no use").out == "shipped-one: retired, revision 3"
    assert templates("retire", "shipped-one").out == "shipped-one: retired, revision 3"
    assert templates("activate", "shipped-one").out == "shipped-one: active, revision 4"
    assert templates("rollback", "shipped-one", "--to", 2).out == "shipped-one: quarantined, revision 5"
    told = templates("history", "shipped-one").out
    assert re.search(r"seeded.*quarantined │ bob.*retired .* no use.*activated.*rolled_back │ ada │ back to rev", told)
    beyond = templates("rollback", "shipped-one", "--to", 9)
    assert (beyond.code, "has no revision 9" in beyond.err) == (1, True)
    assert templates("rollback", "shipped-one").code == 2


# Edit


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets $EDITOR to a program: Python in which `path` is the file to edit and `text` what it holds."""

    def set_editor(program: str) -> None:
        script = tmp_path / "an editor.py"
        script.write_text(
            f"import sys, pathlib\npath = pathlib.Path(sys.argv[1])\ntext = path.read_text()\n{program}\n"
        )
        monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(script)]))

    return set_editor


REWORD = 'path.write_text(text.replace("Doubles a number as", "Makes twice of a number as"))'


def left_behind(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]


def kept(ended: Ended) -> str:
    """The text of the file that the user is told of."""
    named = re.search(r"your text is kept in (\S+)", ended.out + " " + ended.err)
    assert named is not None, ended
    return Path(named[1]).read_text()


def test_edit_sends_what_the_editor_saved(
    store: httpx.Client, templates: Command, editor: Callable[[str], None], tmp_path: Path
) -> None:
    editor(REWORD)
    assert templates("edit", "shipped-one", "--note", "reworded") == (0, "shipped-one: active, revision 2", "")
    assert held(store, "shipped-one").description == "Makes twice of a number as shipped one does."
    assert "reworded" in templates("history", "shipped-one").out
    assert left_behind(tmp_path) == []


def test_edit_without_a_change_changes_nothing(
    store: httpx.Client, templates: Command, editor: Callable[[str], None], tmp_path: Path
) -> None:
    editor("path.write_text(text)")
    assert templates("edit", "shipped-one") == (0, "nothing changed", "")
    assert held(store, "shipped-one").revision == 1
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ('path.write_text(text + "\\n: [")', "line "),
        ('path.write_text(text.replace("formula_rule", "spell"))', "type: Input should be"),
        ('path.write_text(text.replace("twice = 2*a", "twice = 3*a"))', "the formulas give 63, not 42"),
        ('path.write_text(text.replace("id: shipped-one", "id: another-one"))', "an id never changes"),
        ('path.write_bytes(b"\\xff\\xfe")', "decode"),
    ],
)
def test_a_refused_edit_is_explained_and_its_text_is_kept(
    store: httpx.Client, templates: Command, editor: Callable[[str], None], tmp_path: Path, program: str, told: str
) -> None:
    editor(program)
    refused = templates("edit", "shipped-one")
    assert refused.code == 1
    assert told in refused.err
    assert held(store, "shipped-one").revision == 1
    (file,) = left_behind(tmp_path)
    assert str(file) in refused.out


def test_edit_tells_when_somebody_else_was_faster_and_overwrites_nothing(
    store: httpx.Client, templates: Command, editor: Callable[[str], None]
) -> None:
    theirs = store.base_url.join("/v1/templates/shipped-one/quarantine")
    editor(f'import urllib.request\nurllib.request.urlopen("{theirs}", b"")\n{REWORD}')
    refused = templates("edit", "shipped-one")
    assert refused.code == 1
    assert "error: the template 'shipped-one' is at revision 2, not 1" in refused.err
    assert "Makes twice of a number" in kept(refused)
    assert held(store, "shipped-one").description == SHIPPED.description
    assert held(store, "shipped-one").status == "quarantined"


@pytest.mark.parametrize("command", ["no-such-editor-here --wait", "vi '", "/"])
def test_an_editor_that_cannot_be_started_is_named(
    store: httpx.Client, templates: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("EDITOR", command)
    refused = templates("edit", "shipped-one")
    assert refused.code == 1
    assert command in refused.err
    assert "cannot be started" in refused.err
    assert "→ set EDITOR" in refused.err


@pytest.mark.parametrize("program", ["path.write_text('x')\nsys.exit(3)", "path.unlink()"])
def test_an_editor_that_gives_up_changes_nothing(
    store: httpx.Client, templates: Command, editor: Callable[[str], None], program: str
) -> None:
    editor(program)
    refused = templates("edit", "shipped-one")
    assert refused.code == 1
    assert "nothing was changed" in refused.err
    assert held(store, "shipped-one").revision == 1


# Import and export

V1 = {
    "Plane Geometry": {
        "Areas of Triangles": [
            {
                "template_name": "Area by Base and Height",
                "template_type": "Important Formulas and Laws",
                "knowledge_tag": ["Area", "Triangle"],
                "description": "Finds the area of a triangle from a base and its height.",
                "application_scenario": "A base and the height on it are known.",
                "reason_flow": ["Identify the base.", "Multiply by the height and halve it."],
                "example_application": "Example: A base is 6, its height 4.\nAnswer: 12",
            },
            {"template_name": "Half an Entry", "template_type": "Theorem"},
        ]
    }
}
SOUND, WRONG = template("double-it"), unsound("wrong-answer")


def as_data(each: ThoughtTemplate) -> dict[str, Any]:
    return each.model_dump(mode="json")


def test_an_import_is_quarantined_and_says_what_passes(store: httpx.Client, templates: Command, tmp_path: Path) -> None:
    done = templates("import", lines(tmp_path / "some.jsonl", as_data(SOUND), as_data(WRONG)), "--note", "from afar")
    assert done.code == 0
    assert "2 entries: 2 can be read, 0 cannot 1 of 2 pass the checks of `templates validate`" in done.out
    assert "example.answer: the formulas give 42, not 43" in done.out
    assert done.out.endswith("math: created 2")
    assert ids(store, status="quarantined") == ["double-it", "wrong-answer"]
    assert "imported" in templates("history", "double-it").out
    assert templates("import", tmp_path / "some.jsonl").out.endswith("math: unchanged 2")


@pytest.mark.parametrize("form", ["yaml", "json", "folder"])
def test_an_import_may_be_yaml_a_json_list_or_a_folder(
    store: httpx.Client, templates: Command, tmp_path: Path, form: str
) -> None:
    source = tmp_path / f"some.{form}"
    if form == "folder":
        in_folder(source, SOUND, template("other"))
    elif form == "json":
        source.write_text(json.dumps([as_data(SOUND), as_data(template("other"))]))
    else:
        source.write_text(yaml.safe_dump_all([as_data(SOUND), as_data(template("other"))]))
    done = templates("import", source, "--active")
    assert (done.code, done.err) == (0, "")
    assert "2 of 2 pass the checks" in done.out
    assert ids(store, status="active") == ["double-it", "other", "shipped-one"]


def test_the_public_v1_library_comes_in_and_what_cannot_is_listed(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    source = tmp_path / "v1.json"
    source.write_text(json.dumps(V1))
    done = templates("import", source, "--library", "public", "--create")
    assert "2 entries: 1 can be read, 1 cannot" in done.out
    assert "Half an Entry" in done.out
    assert "'knowledge_tag' is missing" in done.out
    assert "public: created 1" in done.out
    assert done.code == 1, "not everything arrived"
    assert held(store, "area-by-base-and-height", "public").status == "quarantined"
    assert ids(store) == ["shipped-one"]


def test_a_dry_run_only_reads_and_needs_no_service(
    templates: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REASONFLUX_TEMPLATE_STORE_URL", NOBODY)
    source = lines(tmp_path / "some.jsonl", as_data(SOUND))
    done = templates("import", source, "--dry-run")
    assert (done.code, done.out.endswith("1 of 1 pass the checks of `templates validate`")) == (0, True)
    source.write_text("{not json\n" + json.dumps({**as_data(SOUND), "steps": []}))
    refused = templates("import", source, "--dry-run")
    assert refused.code == 1
    assert "2 entries: 0 can be read, 2 cannot" in refused.out
    assert re.search(r"line 1 .*is not JSON.*double-it │ steps", refused.out)


def test_an_import_says_what_was_refused_and_why(store: httpx.Client, templates: Command, tmp_path: Path) -> None:
    changed = as_data(SHIPPED) | {"description": "Says something else now."}
    source = lines(tmp_path / "some.jsonl", as_data(SOUND), as_data(WRONG), changed, {"id": "no-more"})
    done = templates("import", source, "--active")
    assert done.code == 1
    assert "4 entries: 3 can be read, 1 cannot" in done.out
    assert "math: created 1, refused 2" in done.out
    assert re.search(r"wrong-answer │ example.answer +│ the formulas give 42, not 43", done.out)
    assert "there is a template 'shipped-one' already, at revision 1" in done.out
    updated = templates("import", lines(tmp_path / "one.jsonl", changed), "--active", "--update")
    assert (updated.code, updated.out.endswith("math: updated 1")) == (0, True)
    assert held(store, "shipped-one").description == "Says something else now."


def test_what_two_entries_lack_is_counted_by_entry(store: httpx.Client, templates: Command, tmp_path: Path) -> None:
    done = templates("import", lines(tmp_path / "some.ndjson", {"id": "one"}, {"id": "two"}))
    assert (done.code, "2 entries: 0 can be read, 2 cannot" in done.out) == (1, True)


def test_an_import_goes_into_no_library_that_nobody_made(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    source = lines(tmp_path / "some.jsonl", as_data(SOUND))
    refused = templates("import", source, "--library", "chemistry")
    assert (refused.code, "there is no library 'chemistry'" in refused.err) == (1, True)
    assert templates("import", source, "--library", "chemistry", "--create").out.endswith("chemistry: created 1")
    odd = templates("import", source, "--library", "Not a Name", "--create")
    assert (odd.code, "cannot name a library" in odd.err) == (1, True)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.jsonl", None, "cannot be read: No such file"),
        ("empty.jsonl", b"\n", "there is no template in it"),
        ("bytes.jsonl", b"\xff", "is not UTF-8"),
        ("broken.json", b"{", "it is not JSON"),
        ("broken.yaml", b"a: [", "it is not YAML"),
        ("other.json", b'{"a": 1}', "no ReasonFlux v1 library"),
    ],
)
def test_a_source_that_cannot_be_read_is_a_sentence(
    templates: Command, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused = templates("import", tmp_path / name)
    assert (refused.code, told in refused.err) == (1, True)


@pytest.mark.parametrize("form", ["jsonl", "yaml"])
def test_what_is_exported_is_imported_as_it_was(
    store: httpx.Client, templates: Command, tmp_path: Path, form: str
) -> None:
    post(store, template("another", description="Ünïcode “naïve”\nand two lines."))
    file = tmp_path / f"whole.{form}"
    assert templates("export", "--to", file, "--format", form) == (0, "", f"written to {file}")
    done = templates("import", file, "--library", "copy", "--create", "--active")
    assert (done.code, done.out.endswith("copy: created 2")) == (0, True)
    for each in ("another", "shipped-one"):
        assert held(store, each, "copy") == held(store, each)


def test_an_export_is_filtered_and_can_be_piped(store: httpx.Client, templates: Command) -> None:
    post(store, template("a-draft", **QUARANTINED))
    told = templates("export", "--status", "quarantined")
    assert (told.code, json.loads(told.out)["id"]) == (0, "a-draft")
    piped = subprocess.run(
        [COMMAND, "templates", "export", "--field", "algebra"], capture_output=True, text=True, timeout=60, check=True
    )
    assert [json.loads(line)["id"] for line in piped.stdout.splitlines()] == ["shipped-one"]
    assert piped.stderr == ""


def test_an_export_that_fails_leaves_the_last_one_as_it_was(
    templates: Command, tmp_path: Path, store: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_text("the last one\n")
    assert templates("export", "--to", file, "--library", "alchemy").code == 1
    monkeypatch.setenv("REASONFLUX_TEMPLATE_STORE_URL", NOBODY)
    assert templates("export", "--to", file).code == 1
    assert file.read_text() == "the last one\n"


def test_an_export_to_where_nothing_can_be_written_is_a_sentence(
    store: httpx.Client, templates: Command, tmp_path: Path
) -> None:
    refused = templates("export", "--to", tmp_path / "absent" / "x.jsonl")
    assert (refused.code, "cannot be written: No such file" in refused.err) == (1, True)


# Check a folder


def test_validate_counts_a_sound_folder_and_names_what_is_wrong(templates: Command, tmp_path: Path) -> None:
    sound = templates("validate", in_folder(tmp_path / "sound", SOUND, template("other")), "--no-meanings")
    assert sound.code == 0
    assert "2, 2 active, every example verified, duplicates by meaning not looked for" in sound.out
    wrong = templates("validate", in_folder(tmp_path / "wrong", SOUND, WRONG), "--no-meanings")
    assert wrong.code == 1
    assert re.search(r"wrong-answer │ example.answer +│ the formulas give 42, not 43", wrong.out)
    in_folder(tmp_path / "wrong", WRONG.model_copy(update={"name": SOUND.name}))
    (tmp_path / "wrong" / "stray.yaml").write_text("id: stray\n")
    unread = templates("validate", tmp_path / "wrong", "--no-meanings")
    assert unread.code == 1
    assert re.search(r"stray.yaml +│ name +│ Field required", unread.out)
    assert re.search(r"wrong-answer.yaml +│ name +│ .* is also in", unread.out)
    absent = templates("validate", tmp_path / "absent")
    assert (absent.code, "is not a folder" in absent.out) == (1, True)


@pytest.mark.faiss
def test_validate_finds_two_that_mean_the_same(templates: Command, tmp_path: Path) -> None:
    twin = SOUND.model_copy(update={"id": "double-it-2", "name": f"{SOUND.name} too"})
    found = templates("validate", in_folder(tmp_path / "folder", SOUND, twin))
    assert (found.code, "means nearly the same as double-it" in found.out) == (1, True)


BIRDS = "A farmer has twice as many geese as ducks and 21 ducks on the pond. How many geese has he?"


@pytest.mark.faiss
def test_decontaminate_finds_an_example_that_is_a_benchmark_problem(templates: Command, tmp_path: Path) -> None:
    folder = in_folder(
        tmp_path / "folder", SOUND, template("other", example=SOUND.example.model_copy(update={"problem": BIRDS}))
    )
    apart = lines(tmp_path / "apart.jsonl", {"id": "p1", "problem": "How many primes are there below one hundred?"})
    clean = templates("decontaminate", folder, "--against", apart)
    assert (clean.code, clean.out) == (0, "2 examples against 1 problems of 1 file(s): no overlap")
    same = lines(tmp_path / "bench.jsonl", {"id": "p7", "problem": f"On a cold morning, {BIRDS.lower()}"})
    found = templates("decontaminate", folder, "--against", apart, "--against", same)
    assert found.code == 1
    assert "bench p7" in found.out
    assert "words: a farmer has twice as many geese as" in found.out


@pytest.mark.parametrize("command", ["decontaminate", "coverage"])
def test_a_benchmark_that_cannot_be_read_is_named(templates: Command, tmp_path: Path, command: str) -> None:
    folder = in_folder(tmp_path / "folder", SOUND)
    broken = templates(command, folder, "--against", lines(tmp_path / "b.jsonl", {"problem": "x"}, {"text": "x"}))
    assert (broken.code, "b.jsonl, line 2: no problem in it" in broken.err) == (1, True)
    assert templates(command, folder, "--against", tmp_path / "absent.jsonl").code == 1
    assert templates(command, folder).code == 2, "a benchmark must be named"


@pytest.mark.faiss
def test_coverage_is_written_as_markdown_without_a_problems_text(templates: Command, tmp_path: Path) -> None:
    folder = in_folder(tmp_path / "folder", SOUND, template("other", field="geometry/circles"))
    bench = lines(
        tmp_path / "bench.jsonl",
        {"problem": "What is twice 34?", "subject": "Arithmetic"},
        {"problem": "Wie alt ist der Kapitän von diesem Dampfer?", "subject": "Ships"},
    )
    page = tmp_path / "library.md"
    done = templates("coverage", folder, "--against", bench, "--write", page)
    assert (done.code, done.out) == (0, f"written to {page}")
    text = page.read_text()
    assert "2 templates: 2 formula_rule." in text
    assert "| **geometry** | **1** | circles 1 |" in text
    assert re.search(r"\|  \| Ships \| 1 \| 0 \| 0% \|", text)
    assert "Kapitän von" not in text
    assert "# The template library" in templates("coverage", folder, "--against", bench).out


def test_coverage_that_cannot_be_written_says_so_before_the_work(templates: Command, tmp_path: Path) -> None:
    bench = lines(tmp_path / "bench.jsonl", {"problem": "What is twice 34?"})
    folder, page = in_folder(tmp_path / "folder", SOUND), tmp_path / "absent" / "library.md"
    refused = templates("coverage", folder, "--against", bench, "--write", page)
    assert (refused.code, "cannot be written" in refused.err) == (1, True)


# Grow

PAIR = {"problem": "What is twice 8?", "solution": "8 + 8 = 16", "answer": 16}


def draft(name: str, **fields: Any) -> str:
    """What a teacher LLM writes."""
    sound = template("double-it").model_dump(mode="json", exclude={"id", "provenance", "revision", "status"})
    return json.dumps({**sound, "name": name, **fields})


@pytest.fixture
def teacher(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Serves an LLM that writes these drafts, one by one."""

    def set_teacher(*replies: str) -> None:
        url = serve(fake_openai_app(replies, models=("teacher",)))
        monkeypatch.setenv("REASONFLUX_TEACHER_URL", f"{url}/v1")
        monkeypatch.setenv("REASONFLUX_TEACHER_MODEL", "teacher")

    return set_teacher


@pytest.mark.faiss
def test_drafts_enter_quarantined_and_a_duplicate_is_refused(
    store: httpx.Client, templates: Command, teacher: Callable[..., None], tmp_path: Path
) -> None:
    teacher(draft("Twice a Number"), draft("twice a number!"), draft("Another Doubling", pitfalls=[]), "I cannot.")
    pairs = lines(tmp_path / "pairs.jsonl", *[PAIR] * 4)
    done = templates("extract", pairs, "--repairs", 0)
    assert done.code == 0
    assert "twice-a-number: quarantined, revision 1" in done.out
    assert "4 solved problems: 1 drafts, all quarantined" in done.out
    assert re.search(r"pairs.jsonl:2 │ name +│ is also the name of twice-a-number", done.out)
    assert re.search(r"pairs.jsonl:3 │ pitfalls", done.out)
    assert re.search(r"pairs.jsonl:3 │ description │ (means nearly|computes) the same", done.out)
    assert "pairs.jsonl:4" in done.out
    kept_one = held(store, "twice-a-number")
    assert (kept_one.status, kept_one.provenance) == ("quarantined", Provenance(source=DRAFTED, detail="pairs.jsonl:1"))
    assert "twice-a-number" not in templates("search", "twice a number").out


@pytest.mark.faiss
def test_a_draft_that_the_store_refuses_does_not_hold_up_the_others(
    store: httpx.Client, templates: Command, teacher: Callable[..., None], tmp_path: Path
) -> None:
    teacher(draft("Search"), draft("Twice a Number"))
    done = templates("extract", lines(tmp_path / "pairs.jsonl", PAIR, PAIR), "--repairs", 0)
    assert "2 solved problems: 1 drafts, all quarantined" in done.out
    assert "'search' is a word of the API" in done.out


def test_extract_says_what_it_lacks(
    templates: Command, teacher: Callable[..., None], tmp_path: Path, store: httpx.Client
) -> None:
    pairs = lines(tmp_path / "pairs.jsonl", PAIR)
    nobody = templates("extract", pairs)
    assert (nobody.code, "REASONFLUX_TEACHER_URL" in nobody.err) == (1, True)
    teacher()
    nothing = templates("extract")
    assert (nothing.code, "no solved problem to learn from" in nothing.err) == (1, True)
    gone = templates("extract", "--session", "abc")
    assert (gone.code, "cannot reach navigator" in gone.err) == (1, True)
    broken = templates("extract", lines(pairs, {"problem": "x"}))
    assert (broken.code, "pairs.jsonl, line 1" in broken.err) == (1, True)


@pytest.fixture
def executor(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Serves the real executor on an LLM that doubles right with the template, and without one if it is `able`."""

    def set_executor(*, able: bool) -> None:
        def reply(call: Call) -> str:
            prompt = call.messages[-1].content
            number = re.findall(r"What is twice (\d+)\?", prompt)[-1]
            if "Template: none" not in prompt:
                return json.dumps({"fits": True, "reasoning": "as it says", "bindings": {"a": number}})
            return json.dumps({"fits": True, "reasoning": "so", "expressions": [f"2*{number}" if able else "0"]})

        settings = ExecutorSettings(calculator_processes=1, executor_profile=Profile.INSTRUCT)
        monkeypatch.setenv("REASONFLUX_EXECUTOR_URL", serve(create_executor(settings, engine=FakeEngine(reply))))

    return set_executor


DRAFT = template(provenance=Provenance(source=DRAFTED), **QUARANTINED)


def test_a_template_that_helps_passes_its_trial_and_is_activated_on_request(
    store: httpx.Client, templates: Command, executor: Callable[..., None]
) -> None:
    post(store, DRAFT)
    executor(able=False)
    tried = templates("trial", "double-it", "--variants", 12)
    assert tried.code == 0
    assert "12 variants: 100% with the template, 0% without" in tried.out
    assert tried.out.endswith("passed")
    assert held(store, "double-it").status == "quarantined"
    assert templates("trial", "double-it", "--activate").out.endswith("passed double-it: active, revision 2")
    assert "trial: 20 variants: 100% with the template" in templates("history", "double-it").out


def test_a_template_that_adds_nothing_does_not_pass_and_stays_where_it_is(
    store: httpx.Client, templates: Command, executor: Callable[..., None]
) -> None:
    post(store, DRAFT)
    executor(able=True)
    tried = templates("trial", "double-it", "--activate", "--variants", 12)
    assert (tried.code, tried.out.endswith("not passed")) == (1, True)
    assert held(store, "double-it").status == "quarantined"


def test_activating_a_draft_tries_it_first(
    store: httpx.Client, templates: Command, executor: Callable[..., None]
) -> None:
    post(store, DRAFT)
    executor(able=True)
    assert templates("activate", "double-it").code == 1
    assert held(store, "double-it").status == "quarantined"
    executor(able=False)
    assert templates("activate", "double-it").out.endswith("double-it: active, revision 2")


def test_a_draft_may_be_activated_untried_where_no_engine_is_at_hand(store: httpx.Client, templates: Command) -> None:
    post(store, DRAFT)
    refused = templates("activate", "double-it")
    assert (refused.code, "cannot reach executor" in refused.err) == (1, True)
    assert templates("activate", "double-it", "--untried").out == "double-it: active, revision 2"


def test_what_has_no_variants_cannot_be_tried(store: httpx.Client, templates: Command) -> None:
    example = SHIPPED.example.model_copy(update={"problem": "What is twice twenty-one?"})
    post(store, template("in-words", example=example))
    refused = templates("trial", "in-words")
    assert (refused.code, "no fresh variants of 'in-words' can be made" in refused.err) == (1, True)
