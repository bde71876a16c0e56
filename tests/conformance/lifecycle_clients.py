"""What the lifecycle test knows of a session, and the clients that follow one."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

LIVE = {"Accept": "text/event-stream"}
RUNNING, SOLVED, CANCELLED, OVERDUE, GONE = "running", "solved", "cancelled", "unsolved", "gone"

Json = dict[str, Any]


@dataclass
class Known:
    """What the model knows of a session."""

    id: str
    tenant: str
    body: Json
    key: str | None
    gate: str | None
    state: str = RUNNING
    journal: list[Json] = field(default_factory=list)
    """Its entries as far as anybody has seen them."""
    conversation: list[str] = field(default_factory=list)
    """The problems that it follows up."""

    @property
    def there(self) -> bool:
        return self.state != GONE


class Follower:
    """A client that reads a session's events and may leave."""

    def __init__(self, http: httpx.Client, session: Known, after: int) -> None:
        self.session, self.after = session, after
        self._stack = ExitStack()
        headers = {**LIVE, **({"Last-Event-ID": str(after)} if after else {})}
        path = f"/v1/sessions/{session.id}/events"
        self.response = self._stack.enter_context(http.stream("GET", path, headers=headers))
        self._lines = self.response.iter_lines()

    def entries(self) -> Iterator[Json]:
        """Those that arrive, each once and in order, until the stream ends."""
        told: dict[str, str] = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                told[name] = value
                continue
            if "id" in told:
                entry = httpx.Response(200, text=told["data"]).json()
                assert (told["id"], told["event"]) == (str(entry["seq"]), entry["event"]["type"])
                assert entry["seq"] == self.after + 1, f"entry {entry['seq']} came after {self.after}"
                self.after = entry["seq"]
                yield entry
            told = {}

    def read_to(self, seq: int) -> list[Json]:
        return list(itertools.islice(self.entries(), max(0, seq - self.after)))

    def leave(self) -> None:
        self._stack.close()


def refused(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.json()["error"]["type"] == kind, answer.text
