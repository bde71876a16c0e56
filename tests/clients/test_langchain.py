"""langchain-openai's ChatOpenAI, unmodified."""

from typing import Any

import pytest
from clients.installed import Workplace, need

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

ANSWER = r"The answer is \boxed{820}"


def test_chat_openai_invokes_streams_batches_and_counts(request: pytest.FixtureRequest) -> None:
    need("langchain_openai")
    workplace: Workplace = request.getfixturevalue("workplace")
    report: Any = workplace.report("ask_langchain.py")

    for way in ("invoke", "stream", "ainvoke", "responses", "responses stream"):
        told = report[way]
        assert told["text"] == ANSWER, way
        usage = told["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], way
        assert usage["output_token_details"]["reasoning"] == usage["output_tokens"] > 0, way
    assert report["batch"] == [ANSWER, ANSWER]
    assert report["invoke"]["finish_reason"] == report["stream"]["finish_reason"] == "stop"
    assert report["conversation"]["text"] == r"The answer is \boxed{1000}"
    for way in ("responses", "responses stream"):
        assert "common difference" in report[way]["reasoning"], way
        assert report[way]["finish_reason"] == "completed", way
