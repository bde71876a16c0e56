"""The schemas in docs/schemas are those of the code."""

from pathlib import Path

from reasonflux.contracts.schemas import main, rendered

COMMITTED = Path(__file__).parents[2] / "docs" / "schemas"


def test_committed_schemas_are_current() -> None:
    found = {file.name: file.read_text(encoding="utf-8") for file in COMMITTED.glob("*.schema.json")}
    remedy = "run: python -m reasonflux.contracts.schemas docs/schemas"
    assert sorted(found) == sorted(rendered()), remedy
    stale = [name for name, content in rendered().items() if found[name] != content]
    assert not stale, remedy


def test_export_writes_every_schema_and_removes_the_stale(tmp_path: Path) -> None:
    (tmp_path / "gone.schema.json").write_text("{}")
    (tmp_path / "README.md").write_text("kept")
    main(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*rendered(), "README.md"}
