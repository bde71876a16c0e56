"""The Vercel AI SDK with @ai-sdk/openai-compatible, unmodified, on Node.js."""

from typing import Any

import pytest
from clients.installed import Workplace, budget_of, need

from reasonflux.contracts import Effort

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]


def test_the_ai_sdk_generates_streams_reasons_and_reads_errors(request: pytest.FixtureRequest) -> None:
    need("@ai-sdk/openai-compatible")
    workplace: Workplace = request.getfixturevalue("workplace")
    report: Any = workplace.report("ask_ai_sdk.mjs")

    for way in ("plain", "streamed"):
        told = {"reasoning": report[way].get("reasoningText"), **report[way]}
        assert (told["text"], told["finishReason"]) == (r"The answer is \boxed{820}", "stop"), way
        assert "common difference" in told["reasoning"], way
        usage = told["usage"]
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0, way
        assert usage["outputTokenDetails"]["reasoningTokens"] == usage["outputTokens"], way
    order = ["start", "reasoning-start", "reasoning-delta", "reasoning-end", "text-start", "text-delta", "finish"]
    assert [*sorted(order, key=report["parts"].index)] == order
    assert report["parts"].count("reasoning-delta") > 3  # in parts, however fast the weights are
    assert "error" not in report["parts"]
    assert report["conversation"]["text"] == r"The answer is \boxed{1000}"
    assert report["refused"]["known"]
    assert report["refused"]["status"] == 404
    assert "poems" in report["refused"]["message"]
    assert budget_of(workplace, report["session"]).rounds == Effort.LOW.budget.rounds
