"""Requests with a seed that arrive together, with longer prompts than one batch of the engine holds."""

import asyncio

import httpx
import pytest
from embedded import Embedded

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

TOGETHER = 48


def prompt(number: int) -> str:
    """Some 150 tokens that no other prompt begins with."""
    return f"navigator {number}\n" + "\n".join(f"s{n}: Let K be the sum of {number} and {n}." for n in range(1, 13))


async def test_many_seeded_requests_at_once_leave_the_engine_alive(embedded: Embedded) -> None:
    url = embedded.url("navigator_engine")

    async def ask(client: httpx.AsyncClient, number: int) -> int:
        body = {
            "model": "reasonflux-tiny-navigator",
            "messages": [{"role": "user", "content": prompt(number)}],
            "seed": number,
            "temperature": 1.0,
            "max_tokens": 8,
        }
        return (await client.post("/v1/chat/completions", json=body)).status_code

    async with httpx.AsyncClient(base_url=url, timeout=240, limits=httpx.Limits(max_connections=None)) as client:
        statuses = await asyncio.gather(*(ask(client, number) for number in range(1000, 1000 + TOGETHER)))
        assert statuses == [200] * TOGETHER
        assert (await client.get("/health")).status_code == 200
