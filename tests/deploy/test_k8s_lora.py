"""The adapter keeper makes an engine's LoRA adapters what its ConfigMap wants, also after the engine has restarted."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from k8s_manifests import K8S


def load_keeper() -> ModuleType:
    path = K8S / "components/lora/adapter_keeper.py"
    spec = importlib.util.spec_from_file_location("adapter_keeper", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeVllm(ThreadingHTTPServer):
    """Answers as vLLM does: adapters have a parent, loading twice is refused, and nothing goes without the key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.loaded: dict[str, str] = {}
        self.refuses: set[str] = set()

    def answer(self, path: str, body: dict[str, str]) -> tuple[int, object]:
        name = body.get("lora_name", "")
        if path == "/v1/models":
            adapters = [{"id": adapter, "parent": "base"} for adapter in self.loaded]
            return 200, {"data": [{"id": "base", "parent": None}, *adapters]}
        if path == "/v1/unload_lora_adapter":
            return (200, "") if self.loaded.pop(name, None) else (404, "not loaded")
        if name in self.refuses or name in self.loaded:
            return 400, "refused"
        self.loaded[name] = body["lora_path"]
        return 200, ""


class Handler(BaseHTTPRequestHandler):
    server: FakeVllm

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        authorised = self.headers["authorization"] == "Bearer key"
        status, said = self.server.answer(self.path, body) if authorised else (401, "")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class World:
    def __init__(self, folder: Path) -> None:
        self.engine = FakeVllm()
        self.url = f"http://127.0.0.1:{self.engine.server_port}"
        self.time, self.module = 0.0, load_keeper()
        self.state, self.folder, self._wanted = folder / "state", folder / "adapters", folder / "wanted"
        self.state.mkdir()
        self.want()
        self.keeper = self.start(self.url)

    def start(self, url: str, key: str = "key") -> object:
        engine = self.module.Engine(url, key)
        return self.module.Keeper(engine, self._wanted, self.folder, self.state, now=lambda: self.time)

    def want(self, *names: str, on_disk: bool = True) -> None:
        self._wanted.write_text("# a comment\n" + "".join(f"{name}\n" for name in names))
        for name in names if on_disk else ():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name / "adapter_config.json").write_text("{}")

    @property
    def ready(self) -> bool:
        return (self.state / "ready").exists()

    def round(self) -> None:
        self.keeper.round()  # type: ignore[attr-defined]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    thread = threading.Thread(target=found.engine.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.engine.shutdown()
    thread.join()
    found.engine.server_close()


def test_what_is_wanted_is_loaded_from_its_folder_and_only_then_the_pod_is_ready(world: World) -> None:
    world.engine.refuses = {"navigator-2"}
    world.want("navigator-1", "navigator-2")
    world.round()
    assert world.engine.loaded == {"navigator-1": str(world.folder / "navigator-1")}
    assert not world.ready
    world.engine.refuses = set()
    world.round()
    assert set(world.engine.loaded) == {"navigator-1", "navigator-2"}
    assert world.ready


def test_an_engine_that_restarted_gets_its_adapters_again(world: World) -> None:
    world.want("navigator-1")
    world.round()
    world.engine.loaded.clear()
    world.round()
    assert set(world.engine.loaded) == {"navigator-1"}


def test_an_adapter_stays_a_while_after_nobody_wants_it_so_that_going_back_costs_nothing(world: World) -> None:
    world.want("navigator-1")
    world.round()
    world.want("navigator-2")
    world.round()
    assert set(world.engine.loaded) == {"navigator-1", "navigator-2"}
    world.time = world.module.GRACE_SECONDS - 1
    world.want("navigator-1", "navigator-2")
    world.round()
    world.want("navigator-2")
    world.time = world.module.GRACE_SECONDS + 1
    world.round()
    assert set(world.engine.loaded) == {"navigator-1", "navigator-2"}, "it was wanted in between"
    world.time += world.module.GRACE_SECONDS
    world.round()
    assert set(world.engine.loaded) == {"navigator-2"}


def test_a_wrong_name_takes_no_ready_pod_away_and_keeps_a_new_one_out(world: World) -> None:
    world.want("navigator-1")
    world.round()
    world.want("navigator-1", "nonsense", on_disk=False)
    world.round()
    assert world.ready
    (world.state / "ready").unlink()  # as in a new pod
    world.round()
    assert not world.ready


def test_a_name_cannot_lead_out_of_the_adapters_folder(world: World) -> None:
    outside = world.folder.parent / "outside"
    outside.mkdir()
    (outside / "adapter_config.json").write_text("{}")
    world.want("../outside", on_disk=False)
    world.round()
    assert world.engine.loaded == {}


@pytest.mark.parametrize("place", ["http://127.0.0.1:9", None])
def test_an_engine_that_does_not_answer_or_refuses_the_key_is_asked_again(world: World, place: str | None) -> None:
    world.want("navigator-1")
    world.keeper = world.start(place or world.url, key="wrong")
    world.round()
    assert (world.state / "alive").exists()
    assert not world.ready
    world.keeper = world.start(world.url)
    world.round()
    assert world.ready
