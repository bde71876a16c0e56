"""Beside one vLLM engine: loads the LoRA adapters that are wanted, and unloads those not wanted for a while.

in    a file with one adapter name a line (a ConfigMap), read again every few seconds; the adapters' folders
out   the engine's adapters; files `alive` (touched each round) and `ready` (once all wanted ones were loaded)

An engine forgets its adapters when it restarts, and a new replica never had them: so this is a loop, not a command.
Standard library only: it runs in vLLM's image.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROUND_SECONDS = 5.0
GRACE_SECONDS = 900.0
"""How long an adapter that is wanted no more stays: sessions that began with it come to their end."""


@dataclass
class Engine:
    """vLLM's own endpoints for adapters."""

    url: str
    key: str

    def adapters(self) -> set[str]:
        """What is loaded. A model with a parent is an adapter; the base model has none."""
        models = json.loads(self._ask("GET", "/v1/models"))["data"]
        return {model["id"] for model in models if model.get("parent")}

    def load(self, name: str, folder: Path) -> None:
        self._ask("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})

    def unload(self, name: str) -> None:
        self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content


@dataclass
class Keeper:
    """Makes an engine's adapters those that are wanted, a round at a time."""

    engine: Engine
    wanted: Path
    folder: Path
    state: Path
    now: Callable[[], float] = time.monotonic
    _unwanted_since: dict[str, float] = field(default_factory=dict)

    def round(self) -> None:
        """One look and what follows from it. An engine that does not answer is asked again in the next round."""
        (self.state / "alive").touch()
        wanted = self._names()
        try:
            loaded = self.engine.adapters()
            for name in sorted(wanted - loaded):
                self._load(name)
            for name in sorted(loaded - wanted):
                self._forget(name)
            self._unwanted_since = {n: at for n, at in self._unwanted_since.items() if n in loaded - wanted}
            if wanted <= self.engine.adapters():
                (self.state / "ready").touch()
        except (OSError, ValueError) as error:
            _say(f"the engine does not answer: {error}")

    def _names(self) -> set[str]:
        lines = (line.partition("#")[0].strip() for line in self.wanted.read_text().splitlines())
        return {line for line in lines if line}

    def _load(self, name: str) -> None:
        folder = self.folder / name
        if name != folder.name or not (folder / "adapter_config.json").is_file():
            _say(f"cannot load {name}: there is no adapter in {folder}")
            return
        try:
            self.engine.load(name, folder)
            _say(f"loaded {name}")
        except urllib.error.HTTPError as error:
            _say(f"cannot load {name}: the engine answered {error.code} {error.read(300).decode(errors='replace')}")

    def _forget(self, name: str) -> None:
        if self.now() - self._unwanted_since.setdefault(name, self.now()) >= GRACE_SECONDS:
            self.engine.unload(name)
            _say(f"unloaded {name}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    engine = Engine(os.environ.get("ENGINE_URL", "http://127.0.0.1:8000"), os.environ["VLLM_API_KEY"])
    keeper = Keeper(engine, Path("/etc/adapters/wanted"), Path("/models/adapters"), Path("/state"))
    while True:
        keeper.round()
        time.sleep(ROUND_SECONDS)


if __name__ == "__main__":
    main()
