"""The same five calls as a LangGraph graph: plan, then instantiate and review in a loop. Nothing is stored.

`python langgraph_loop.py ENGINE_URL CALLS.json CONCURRENCY RUNS` prints a Sample as JSON. Runs in an environment of its
own: LangGraph is no requirement of this project.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, TypedDict

import httpx
from langgraph.graph import END, START, StateGraph
from timing import timed


class State(TypedDict):
    calls: int
    replies: list[str]


def graph_of(http: httpx.AsyncClient, bodies: list[dict[str, Any]]) -> Any:
    """One node per kind of call; the edge behind the review goes on until every call has been made."""

    async def call(state: State) -> State:
        response = await http.post("/chat/completions", json=bodies[state["calls"]])
        response.raise_for_status()
        return {"calls": state["calls"] + 1, "replies": [*state["replies"], response.text]}

    graph = StateGraph(State)
    for name in ("plan", "instantiate", "review"):
        graph.add_node(name, call)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "instantiate")
    graph.add_edge("instantiate", "review")
    graph.add_conditional_edges("review", lambda state: END if state["calls"] == len(bodies) else "instantiate")
    return graph.compile()


async def main(url: str, bodies: list[dict[str, Any]], concurrency: int, runs: int) -> None:
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0, trust_env=False) as http:
        graph = graph_of(http, bodies)

        async def once() -> None:
            await graph.ainvoke({"calls": 0, "replies": []})

        await timed(once, concurrency, concurrency)
        print((await timed(once, concurrency, runs)).told())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]), int(sys.argv[4])))
