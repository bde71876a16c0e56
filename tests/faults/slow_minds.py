"""An engine for the takeover test: both roles, word by word, slowly. Problems are chains of additions.

The navigator plans as many steps as the problem has statements; each step adds one to the result before it.
"""

import json

from reasonflux.testing.fake_engine import Call

STEPS = 6


def reply(call: Call) -> str:
    """What the engine says to a compact prompt."""
    prompt = call.messages[-1].content
    if prompt.startswith("navigator"):
        return _plan()
    if prompt.startswith("executor"):
        return _instantiation(prompt)
    step = int(prompt.split()[1])
    return _review(step)


def _plan() -> str:
    steps = [
        {
            "id": n,
            "goal": f"step {n}",
            "template": "",
            "tags": [],
            "uses": ["s1", *([f"r{n - 1}"] if n > 1 else [])],
        }
        for n in range(1, STEPS + 1)
    ]
    return json.dumps({"abstraction": "a chain of additions", "steps": steps})


def _instantiation(prompt: str) -> str:
    step = int(prompt.split("goal: step ")[1].split()[0])
    expression = f"r{step - 1} + 1" if step > 1 else "1"
    words = " ".join(f"word{n}" for n in range(20))
    return json.dumps({"fits": True, "reasoning": words, "expressions": [expression]})


def _review(step: int) -> str:
    if step < STEPS:
        return json.dumps({"reason": "ok", "verdict": "continue"})
    return json.dumps({"reason": "solved", "verdict": "finish", "answer": f"r{step}"})
