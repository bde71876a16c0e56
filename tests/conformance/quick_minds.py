"""An engine for the conformance tests: both roles, at once. Every problem takes one step, and its answer is 7."""

import json

from reasonflux.testing.fake_engine import Call

PLAN = {
    "abstraction": "an addition",
    "steps": [{"id": 1, "goal": "add", "template": "", "tags": [], "uses": ["s1"]}],
    "complete": True,
}
REVIEW = {"reason": "it is what was asked for", "verdict": "finish", "answer": "r1"}
STEP = {"fits": True, "reasoning": "3 and 4 make 7.", "expressions": ["3 + 4"]}


def reply(call: Call) -> str:
    """What the engine says: by the schema that it is asked to keep to."""
    asked = (call.schema_ or {}).get("properties", {})
    for said, mark in ((REVIEW, "verdict"), (PLAN, "steps"), (STEP, "expressions")):
        if mark in asked:
            return json.dumps(said)
    return "A short title"
