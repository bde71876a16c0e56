"""What clients do to sessions over HTTP, and what must come of it."""

import itertools
import sys
import time
from uuid import uuid4

import httpx
from conformance.lifecycle_clients import (
    CANCELLED,
    GONE,
    LIVE,
    OVERDUE,
    RUNNING,
    SOLVED,
    Follower,
    Json,
    Known,
    refused,
)
from conformance.lifecycle_world import PATIENCE, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

TENANTS = ("ours", "theirs")
KEYS = st.sampled_from([None, "a", "b"])
TENANT = st.sampled_from(TENANTS)
LEAVING = st.sampled_from(["continue", "cancel"])
N = st.integers(0, 30)


class Lifecycle(RuleBasedStateMachine):
    """Every rule is something that clients do; what must come of it is read off the model."""

    def __init__(self, there: World) -> None:
        super().__init__()
        self.world = there
        self.run_id = uuid4().hex[:8]
        self.http = {name: there.client(f"{name}-{self.run_id}") for name in TENANTS}
        self.sessions: list[Known] = []
        self.followers: list[Follower] = []
        self.count = itertools.count(1)

    # Starting

    @rule(tenant=TENANT, key=KEYS, leaving=LEAVING)
    def solve(self, tenant: str, key: str | None, leaving: str) -> None:
        body, gate = self._problem(False)
        self._start(tenant, {**body, "on_disconnect": leaving}, key, gate)

    @rule(tenant=TENANT, key=KEYS, leaving=LEAVING)
    def begin(self, tenant: str, key: str | None, leaving: str) -> None:
        """It goes on until it is let go, or ended."""
        body, gate = self._problem(True)
        self._start(tenant, {**body, "on_disconnect": leaving}, key, gate)

    @precondition(lambda self: self.sessions)
    @rule(n=N, key=KEYS)
    def follow_up(self, n: int, key: str | None) -> None:
        """Only by its own tenant; what went before is part of it."""
        parent = self._pick(n)
        if parent.state == RUNNING:
            return
        body, gate = self._problem(False)
        body["parent"] = parent.id
        refused(self._stranger(parent).post("/v1/sessions", json=body), 404, "not_found")
        if not parent.there:
            refused(self._post(parent.tenant, body, key), 404, "not_found")
            return
        child = self._start(parent.tenant, body, key, gate)
        if child is not None:
            child.conversation = [*parent.conversation, parent.body["problem"]][-8:]
            turns = self._get(child).json()["turns"]
            assert [turn["problem"] for turn in turns] == child.conversation
            assert turns[-1]["session"] == parent.id

    @precondition(lambda self: self.running)
    @rule(n=N)
    def follow_up_too_soon(self, n: int) -> None:
        parent = self.running[n % len(self.running)]
        body, _ = self._problem(False)
        refused(self._post(parent.tenant, {**body, "parent": parent.id}, None), 409, "conflict")

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def repeat(self, n: int) -> None:
        """The same request under the same key is the same session, for as long as that is there."""
        session = self._pick(n)
        if session.key is None or not session.there:
            return
        again = self._post(session.tenant, session.body, session.key)
        assert (again.status_code, again.json()["id"]) == (200, session.id)
        assert again.headers["location"] == f"/v1/sessions/{session.id}"

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def reuse(self, n: int) -> None:
        """Another request under the same key is refused."""
        session = self._pick(n)
        if session.key is None or not session.there:
            return
        body, _ = self._problem(False)
        refused(self._post(session.tenant, body, session.key), 409, "conflict")

    @rule(patient=st.sampled_from([True, False, False, False]))
    def run_out_of_time(self, patient: bool) -> None:
        """A session whose deadline passes ends, whatever its step waits for."""
        if not patient or any(session.state == OVERDUE for session in self.sessions):
            return  # it takes a second
        body, gate = self._problem(True)
        made = self._start("ours", {**body, "budget": {"seconds": 0.05}}, None, gate, wait=False)
        assert made is not None
        self._ends(made, OVERDUE)
        told = self._get(made).json()["last_failure"]
        assert told["kind"] in ("deadline_exceeded", "budget_exhausted"), told  # during a step, or between two

    # Watching

    @precondition(lambda self: self.sessions)
    @rule(n=N, after=N, stay=st.booleans())
    def follow(self, n: int, after: int, stay: bool) -> None:
        """From any entry on, without gap or repeat: what is committed, and the rest once it is."""
        session = self._pick(n)
        if not session.there:
            refused(self.http[session.tenant].get(f"/v1/sessions/{session.id}/events", headers=LIVE), 404, "not_found")
            return
        self._learn(session)
        follower = Follower(self.http[session.tenant], session, after % (len(session.journal) + 1))
        assert follower.response.status_code == 200
        begun = follower.after
        assert follower.read_to(len(session.journal)) == session.journal[begun:]
        if session.state != RUNNING:
            assert list(follower.entries()) == []
            follower.leave()
        elif stay:
            self.followers.append(follower)
        else:
            self._leave(follower)

    @precondition(lambda self: self.followers)
    @rule(n=N)
    def leave(self, n: int) -> None:
        self._leave(self.followers.pop(n % len(self.followers)))

    @precondition(lambda self: self.sessions)
    @rule(n=N, beyond=st.integers(1, 9), stream=st.booleans())
    def follow_from_nowhere(self, n: int, beyond: int, stream: bool) -> None:
        """A cursor beyond the journal's end is an error, never silence."""
        session = self._pick(n)
        if not session.there:
            return
        self._learn(session)
        headers = {"Last-Event-ID": str(len(session.journal) + beyond), **(LIVE if stream else {})}
        refused(self.http[session.tenant].get(f"/v1/sessions/{session.id}/events", headers=headers), 410, "expired")

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def look(self, n: int) -> None:
        self._check(self._pick(n))

    @rule(tenant=TENANT, limit=st.integers(1, 3))
    def list_all(self, tenant: str, limit: int) -> None:
        """Page by page: every session of the tenant that is there, newest first, and no other."""
        self._list(tenant, limit)

    def _list(self, tenant: str, limit: int) -> None:
        listed: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": limit, **({} if cursor is None else {"cursor": cursor})}
            page = self.http[tenant].get("/v1/sessions", params=params).json()
            listed += [each["id"] for each in page["sessions"]]
            if (cursor := page["next_cursor"]) is None:
                break
        ours = [each for each in self.sessions if each.tenant == tenant and each.there]
        assert listed == [each.id for each in reversed(ours)], f"{listed} but {ours}"

    # Ending

    @precondition(lambda self: self.running)
    @rule(n=N)
    def let_go(self, n: int) -> None:
        session = self.running[n % len(self.running)]
        assert session.gate is not None
        self.world.let_go(session.gate)
        self._ends(session, SOLVED)
        assert self._get(session).json()["answer"] == "7"

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def cancel(self, n: int) -> None:
        session = self._pick(n)
        answer = self.http[session.tenant].post(f"/v1/sessions/{session.id}/cancel")
        if not session.there:
            refused(answer, 404, "not_found")
            return
        expected = CANCELLED if session.state == RUNNING else session.state
        assert (answer.status_code, answer.json()["outcome"]) == (200, expected)
        if session.state == RUNNING:
            self._ends(session, CANCELLED)

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def delete(self, n: int) -> None:
        session = self._pick(n)
        answer = self.http[session.tenant].delete(f"/v1/sessions/{session.id}")
        assert answer.status_code == (204 if session.there else 404)
        self._is_gone(session)

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def expire(self, n: int) -> None:
        """What has been kept for long enough is forgotten, with its key, and its place in the list is no cursor."""
        session = self._pick(n)
        if session.state in (RUNNING, GONE):
            return
        self.world.let_retention_pass(session.id)
        self._is_gone(session)
        page = self.http[session.tenant].get("/v1/sessions", params={"cursor": session.id})
        refused(page, 410, "expired")

    # The world

    @precondition(lambda self: self.sessions)
    @rule(n=N)
    def ask_as_another_tenant(self, n: int) -> None:
        """Sessions of others are not there, in the same words as what never was."""
        session = self._pick(n)
        http, never = self._stranger(session), uuid4().hex
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            answers = [http.request(method, f"/v1/sessions/{each}{path}") for each in (session.id, never)]
            theirs, nobodys = (
                answer.text.replace(id_, "ID") for answer, id_ in zip(answers, (session.id, never), strict=True)
            )
            assert [answer.status_code for answer in answers] == [404, 404]
            assert theirs == nobodys
        refused(http.get("/v1/sessions", params={"cursor": session.id}), 410, "expired")

    @rule()
    def lose_a_reply(self) -> None:
        self.world.lose_a_reply()

    def teardown(self) -> None:
        try:
            if sys.exception() is None:
                self._check_all()
        finally:
            for session in self.sessions:
                if session.there:
                    self.http[session.tenant].delete(f"/v1/sessions/{session.id}")
                if session.gate is not None:
                    self.world.let_go(session.gate)
            for follower in self.followers:
                follower.leave()
            for http in self.http.values():
                http.close()

    # What the rules are made of

    def _check_all(self) -> None:
        for session in self.sessions:
            self._check(session)
        for tenant in TENANTS:
            self._list(tenant, 3)

    @property
    def running(self) -> list[Known]:
        return [each for each in self.sessions if each.state == RUNNING]

    def _pick(self, n: int) -> Known:
        return self.sessions[n % len(self.sessions)]

    def _stranger(self, session: Known) -> httpx.Client:
        return next(http for tenant, http in self.http.items() if tenant != session.tenant)

    def _problem(self, held: bool) -> tuple[Json, str | None]:
        number = next(self.count)
        if not held:
            return {"problem": f"What is 3 + 4 for the time {number}?"}, None
        gate = f"gate-{self.run_id}-{number}"
        self.world.hold(gate)
        return {"problem": f"What is 3 + 4 at {gate} now?"}, gate

    def _post(self, tenant: str, body: Json, key: str | None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http[tenant].post("/v1/sessions", json=body, headers=headers)

    def _start(self, tenant: str, body: Json, key: str | None, gate: str | None, *, wait: bool = True) -> Known | None:
        """None when the key is another session's."""
        answer = self._post(tenant, body, key)
        if key is not None and any(each.key == key and each.tenant == tenant and each.there for each in self.sessions):
            refused(answer, 409, "conflict")
            return None
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert answer.headers["location"] == f"/v1/sessions/{told['id']}"
        assert told["id"] not in [each.id for each in self.sessions]
        session = Known(told["id"], tenant, body, key, gate)
        self.sessions.append(session)
        if gate is None:
            self._ends(session, SOLVED)
        elif wait:
            self.world.gates.wait(gate)
        return session

    def _get(self, session: Known) -> httpx.Response:
        return self.http[session.tenant].get(f"/v1/sessions/{session.id}")

    def _check(self, session: Known) -> None:
        """The session is what the model says, and what was seen of its journal stands."""
        answer = self._get(session)
        if not session.there:
            refused(answer, 404, "not_found")
            return
        told = answer.json()
        assert told["outcome"] == (None if session.state == RUNNING else session.state)
        self._learn(session)
        assert told["last_seq"] == len(session.journal)

    def _learn(self, session: Known) -> None:
        """Read the journal in pages; it only ever grows at its end."""
        found: list[Json] = []
        while True:
            params = {"after": len(found), "limit": 3}
            page = self.http[session.tenant].get(f"/v1/sessions/{session.id}/events", params=params).json()
            found += page["entries"]
            if len(page["entries"]) < 3:
                break
        assert [entry["seq"] for entry in found] == list(range(1, len(found) + 1))
        assert found[: len(session.journal)] == session.journal
        assert (found[-1]["event"]["type"] == "session.finished") == (session.state != RUNNING) == page["finished"]
        session.journal = found

    def _ends(self, session: Known, state: str) -> None:
        """It comes to this end, and all who follow it are told so."""
        session.state = state
        deadline = time.monotonic() + PATIENCE
        while (told := self._get(session).json()["outcome"]) is None and time.monotonic() < deadline:
            time.sleep(0.01)  # nothing tells a client that does not follow
        assert told == state
        self._learn(session)
        for follower in [each for each in self.followers if each.session is session]:
            self.followers.remove(follower)
            begun = follower.after
            assert list(follower.entries()) == session.journal[begun:]
            follower.leave()

    def _is_gone(self, session: Known) -> None:
        session.state = GONE
        for follower in [each for each in self.followers if each.session is session]:
            self.followers.remove(follower)
            assert not list(follower.entries())  # the stream ends
            follower.leave()
        for path in ("", "/events"):
            refused(self.http[session.tenant].get(f"/v1/sessions/{session.id}{path}"), 404, "not_found")

    def _leave(self, follower: Follower) -> None:
        session = follower.session
        follower.leave()
        last = not any(each.session is session for each in self.followers)
        if last and session.body.get("on_disconnect") == "cancel" and session.state == RUNNING:
            self._ends(session, CANCELLED)
