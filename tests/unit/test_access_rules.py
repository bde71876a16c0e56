"""API keys: what is kept of them, and how they are recognised; what sessions are taken to cost."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from navigator.access.keys import id_of, matches, mint
from navigator.access.limits import Limits, Priority, Room, Standing, estimated_tokens
from navigator.settings import Settings
from reasonflux.contracts import Budget, Options, Problem, SessionStarted, Turn

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_is_kept_of_a_key_does_not_contain_it() -> None:
    key, record = mint("acme", NOW)
    secret = key.rpartition("_")[2]

    assert secret not in record.model_dump_json()
    assert record.digest not in repr(record)
    assert record.id in key


def test_a_key_has_256_random_bits_and_no_two_are_alike() -> None:
    keys = {mint("acme", NOW)[0] for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key.split("_", 2)[2]) == 43 for key in keys)


def test_a_key_is_recognised_and_no_other_is() -> None:
    key, record = mint("acme", NOW)
    other, _ = mint("acme", NOW)

    assert id_of(key) == record.id
    assert matches(key, record)
    assert not matches(other, record)
    assert not matches(key[:-1] + ("A" if key[-1] != "A" else "B"), record)


@pytest.mark.parametrize("wrong", ["", "rf_", "sk-abc", "rf_0123456789abcdef_short", "rf_é_" + "a" * 43, "rf_*_x"])
def test_what_cannot_be_a_key_has_no_id(wrong: str) -> None:
    assert id_of(wrong) is None


def test_a_key_ends_when_it_says_so() -> None:
    _, record = mint("acme", NOW, expires_at=NOW + timedelta(hours=1))
    assert not record.expired(NOW)
    assert record.expired(NOW + timedelta(hours=1))


@pytest.mark.parametrize("tenant", ["", "a b", "-x", "a/b", "x" * 65])
def test_a_tenants_name_is_plain(tenant: str) -> None:
    with pytest.raises(ValidationError):
        mint(tenant, NOW)


def test_a_tenants_own_limits_go_before_the_defaults_and_none_lifts_one() -> None:
    defaults = Limits(requests=10, tokens=100, sessions=1)
    own = Limits.model_validate({"tokens": None, "sessions": 5}).over(defaults)

    assert own == Limits(requests=10, tokens=None, sessions=5)
    assert Limits().over(defaults) == defaults


def test_half_a_room_is_never_no_room() -> None:
    assert Room(sessions=1, tokens=9).share(Priority.BATCH) == Room(sessions=1, tokens=4)
    assert Room().share(Priority.BATCH) == Room()


def test_a_long_conversation_is_estimated_above_a_short_question_and_never_above_its_budget() -> None:
    def first(text: str, *turns: str, tokens: int = 64_000) -> SessionStarted:
        told = tuple(Turn(problem=turn) for turn in turns)
        return SessionStarted(problem=Problem(text=text), turns=told, options=Options(budget=Budget(tokens=tokens)))

    short = estimated_tokens(first("What is 1 + 1?"))
    assert short < estimated_tokens(first("What is 1 + 1?", "x" * 4_000))
    assert estimated_tokens(first("x" * 20_000, tokens=1_000)) == 1_000


def test_a_standing_without_limits_sets_no_headers() -> None:
    assert Standing().headers == {}


def test_a_page_that_may_call_is_an_origin_or_all_of_them() -> None:
    assert Settings(cors_origins=("https://app.example.com",)).cors_origins == ("https://app.example.com",)
    assert Settings(cors_origins=("*",)).cors_origins == ("*",)
    for wrong in (("https://app.example.com/page",), ("*", "https://app.example.com"), ("app.example.com",)):
        with pytest.raises(ValidationError):
            Settings(cors_origins=wrong)


def test_by_default_everything_is_off() -> None:
    settings = Settings()
    assert settings.access == "open"
    assert (settings.limits, settings.room, settings.cors_origins) == (Limits(), Room(), ())
