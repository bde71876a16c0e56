"""Views further down a problem: the same conversation under higher numbers of statements and steps.

In the tenth round of a deep problem the view shows s21 to s25 and asks for step 10. Chains of depth 3 never get that
far, and a model does not read numbers that it has never seen, so the numbers are moved up as if something had gone
before.
"""

import re

from training.corpus.mixture import Conversation, Turn

_STATEMENT = re.compile(r'(?<=")s(\d+)(?=")|^s(\d+)(?=: )', re.MULTILINE)
_RESULT = re.compile(r'(?<=")r(\d+)(?=")|^r(\d+)(?=: )|(?<=done: )r(\d+)(?= = )', re.MULTILINE)
_STEP = re.compile(r'(?<="id":)(\d+)|(?<=^step )(\d+)|(?<=^left: )(\d+)|(?<= at a time from )(\d+)', re.MULTILINE)


def shifted(conversation: Conversation, statements: int, steps: int) -> Conversation:
    """Every number of a statement is moved up by `statements`, of a step and its result by `steps`."""

    def moved(text: str) -> str:
        text = _STATEMENT.sub(lambda found: f"s{_number(found) + statements}", text)
        text = _RESULT.sub(lambda found: f"r{_number(found) + steps}", text)
        return _STEP.sub(lambda found: str(_number(found) + steps), text)

    return tuple(Turn(turn.role, moved(turn.content), turn.learn) for turn in conversation)


def _number(found: re.Match[str]) -> int:
    return int(next(group for group in found.groups() if group is not None))
