"""A session's life over HTTP against a model of it: whatever clients do, and whichever reply of Redis is lost.

`make test TEST_ARGS="tests/conformance --hypothesis-profile=long"` goes on for much longer.
"""

import pytest
from conformance.lifecycle_machine import Lifecycle
from conformance.lifecycle_world import World, in_memory, on_redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test


def explore(there: World) -> None:
    long = settings.get_current_profile_name() == "long"
    run_state_machine_as_test(
        lambda: Lifecycle(there),
        settings=settings(
            max_examples=400 if long else 12,
            stateful_step_count=80 if long else 40,
            derandomize=not long,
            report_multiple_bugs=False,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(3600)
def test_whatever_clients_do_sessions_live_as_the_model_says() -> None:
    with in_memory() as there:
        explore(there)


@pytest.mark.redis
@pytest.mark.timeout(3600)
def test_sessions_live_so_on_redis_too_even_when_its_replies_are_lost(redis_url: str, redis_prefix: str) -> None:
    with on_redis(redis_url, redis_prefix) as there:
        explore(there)
