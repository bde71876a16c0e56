"""A session told as the events of OpenAI's Responses API. Pure.

Events are numbered by the journal: those of entry n are n·STRIDE, n·STRIDE + 1, …, and live text after it comes from
n·STRIDE + LIVE on. So any process resumes a stream after any number, with nothing but the journal: it tells everything
again and leaves out what the client has. Live text is not kept, but what it became is: a step is told whole when it is
done, and the summary's last event has all of it.
"""

from collections.abc import Iterator
from typing import Any

from navigator.api.narration import Narrator
from navigator.api.outcome import content_of, extra_of, failure_of
from navigator.api.response_shapes import message_item, reasoning_item, response, status, text_part
from navigator.session import advance, fold
from reasonflux.contracts import Delta, Entry, Session

STRIDE = 1_000_000
LIVE = 1_000

Event = dict[str, Any]

_LAST = {"completed": "response.completed", "failed": "response.failed"}


class ResponseTeller:
    """Turns entries, from the first on, and deltas into events to send; those up to `after` are left out."""

    def __init__(self, session_id: str, after: int = -1) -> None:
        self._session_id, self._after = session_id, after
        self._session: Session | None = None
        self._aloud, self._for_the_record = Narrator(), Narrator()
        self._record = ""
        self._number = 0

    @property
    def next_number(self) -> int:
        return self._number

    def hear(self, item: Entry | Delta) -> list[Event]:
        if isinstance(item, Entry):
            self._number = item.seq * STRIDE
            told = [*self._entry(item)]
        else:
            told = [*self._live(item)]
        return [event for event in told if event["sequence_number"] > self._after]

    def _entry(self, entry: Entry) -> Iterator[Event]:
        said = self._aloud.hear(entry)
        self._record += self._for_the_record.hear(entry)
        if self._session is None:
            session = self._session = fold(self._session_id, [entry])
            yield from self._opening(session)
        else:
            session = self._session = advance(self._session, entry)
        yield self._thought(session, said, reasonflux=extra_of(session, entry))
        if session.finished:
            yield from self._ending(session)

    def _live(self, delta: Delta) -> Iterator[Event]:
        said = self._aloud.hear(delta)
        if self._session is None or not said:
            return
        start = self._session.last_seq * STRIDE + LIVE
        self._number = max(self._number, start, min(self._after + 1, start + STRIDE // 2))
        yield self._thought(self._session, said)

    def _opening(self, session: Session) -> Iterator[Event]:
        yield self._event("response.created", response=response(session, ""))
        yield self._event("response.in_progress", response=response(session, "") | {"status": "in_progress"})
        yield self._event("response.output_item.added", output_index=0, item=reasoning_item(session, None))
        yield self._summary(session, "part.added", part={"type": "summary_text", "text": ""})

    def _thought(self, session: Session, text: str, **extra: Any) -> Event:
        return self._summary(session, "text.delta", delta=text, **extra)

    def _ending(self, session: Session) -> Iterator[Event]:
        yield self._summary(session, "text.done", text=self._record)
        yield self._summary(session, "part.done", part={"type": "summary_text", "text": self._record})
        yield self._event("response.output_item.done", output_index=0, item=reasoning_item(session, self._record))
        if not failure_of(session):
            yield from self._answer(session, content_of(session))
        last = _LAST.get(status(session), "response.incomplete")
        yield self._event(last, response=response(session, self._record))

    def _answer(self, session: Session, text: str) -> Iterator[Event]:
        yield self._event("response.output_item.added", output_index=1, item=message_item(session, None))
        at: dict[str, Any] = {"item_id": f"msg_{session.id}", "output_index": 1, "content_index": 0}
        yield self._event("response.content_part.added", **at, part=text_part(""))
        yield self._event("response.output_text.delta", **at, delta=text, logprobs=[])
        yield self._event("response.output_text.done", **at, text=text, logprobs=[])
        yield self._event("response.content_part.done", **at, part=text_part(text))
        yield self._event("response.output_item.done", output_index=1, item=message_item(session, text))

    def _summary(self, session: Session, kind: str, **fields: Any) -> Event:
        at = {"item_id": f"rs_{session.id}", "output_index": 0, "summary_index": 0}
        return self._event(f"response.reasoning_summary_{kind}", **at, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **fields}


def entry_of(number: int) -> int:
    """The entry that an event's number belongs to; numbers before the first entry belong to none."""
    return max(0, number) // STRIDE
