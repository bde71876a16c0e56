"""docs/clients.md is run: each recipe, as a reader pastes it, prints what the page says."""

import pytest
from clients.installed import Workplace, need
from clients.recipes import lines, recipes

pytestmark = [pytest.mark.redis, pytest.mark.vllm, pytest.mark.faiss]

STANDS_ON = {
    "OpenAI's client: chat completions": None,
    "OpenAI's client: responses": None,
    "LangChain": "langchain_openai",
    "LiteLLM": "litellm",
    "llm": "llm",
    "lm-eval": "lm_eval",
    "Vercel AI SDK": "@ai-sdk/openai-compatible",
    "Our Python SDK": None,
    "The command line": None,
}
"""What a recipe needs beyond our own environment."""

ELSEWHERE = ("llm", "lm-eval")
"""Recipes that are run, once, by the client's own test."""


def test_every_recipe_of_the_page_is_known_here() -> None:
    assert list(recipes()) == list(STANDS_ON)
    assert all(recipe.promised for title, recipe in recipes().items() if title != "lm-eval")


@pytest.mark.parametrize("title", [title for title in STANDS_ON if title not in ELSEWHERE])
def test_a_recipe_prints_what_the_page_says(title: str, request: pytest.FixtureRequest) -> None:
    client = STANDS_ON[title]
    if client is not None:
        need(client)
    workplace: Workplace = request.getfixturevalue("workplace")
    recipe = recipes()[title]
    printed = lines(recipe.run(workplace, ours=client is None))
    missing = [line for line in recipe.promised if line not in printed]
    assert not missing, printed
