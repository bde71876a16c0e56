"""litellm, unmodified: as a library, and as the Router that its proxy stands on."""

from typing import Any

import pytest
from clients.installed import Workplace, budget_of, need

from reasonflux.contracts import Effort

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

WAYS = ("openai", "hosted_vllm", "openai stream", "hosted_vllm stream", "async", "router", "effort")


def test_litellm_answers_streams_routes_and_names_errors(request: pytest.FixtureRequest) -> None:
    need("litellm")
    workplace: Workplace = request.getfixturevalue("workplace")
    report: Any = workplace.report("ask_litellm.py")

    for way in WAYS:
        told = report[way]
        assert (told["text"], told["finish_reason"]) == (r"The answer is \boxed{820}", "stop"), way
        assert "common difference" in told["reasoning"], way
        prompt, completion, total = told["usage"]
        assert prompt + completion == total, way
        assert told["reasoning_tokens"] == completion > 0, way
    assert report["no such model"] == "NotFoundError"
    assert report["two answers"] == "BadRequestError"
    assert budget_of(workplace, report["effort"]["session"]).rounds == Effort.LOW.budget.rounds
