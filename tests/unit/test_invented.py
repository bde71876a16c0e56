"""Invented templates: what an executor learns binding from, and the probe that measures it."""

import json
import re
from itertools import islice
from pathlib import Path

import pytest

from calculator import evaluate_in_process
from evaluation.ladder import ALL, Split
from executor import prompting
from reasonflux.engine import Message
from training.stages.tiny import read_library
from training.studies import binding_corpus
from training.studies.binding_corpus import BindMixture
from training.studies.binding_measures import Task, ladder_tasks, measure
from training.studies.invented import (
    Difficulty,
    InventedTask,
    Told,
    conversation_of,
    invented_conversations,
    invented_tasks,
    phrases,
)
from training.weights.greedy import Say

LIBRARY_FOLDER = Path(__file__).resolve().parents[2] / "services" / "template-store" / "library"


def some(count: int, split: Split = Split.TRAIN, difficulty: Difficulty | None = None) -> list[InventedTask]:
    return list(islice(invented_tasks(3, split, difficulty), count))


def text_of(task: InventedTask) -> str:
    return " ".join(statement.text for statement in task.request.statements)


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert some(50) == some(50)
    assert some(50) != list(islice(invented_tasks(4), 50))


def test_every_number_that_is_bound_stands_in_the_text_in_the_order_of_the_bindings() -> None:
    for task in some(300):
        symbols = {known.name: known.symbol for known in task.request.known}
        shown = [symbols.get(value) or value for value in task.bindings.values()]
        places = [re.search(rf"(?<![\w-]){re.escape(value)}(?!\w)", text_of(task)) for value in shown]
        assert all(places)
        starts = [place.start() for place in places if place]
        assert starts == sorted(starts)


def test_no_two_numbers_of_a_task_are_the_same() -> None:
    for task in some(300):
        numbers = re.findall(r"-?\d+", text_of(task))
        assert len(numbers) == len(set(numbers))


def test_bindings_name_the_variables_of_the_template_and_no_other() -> None:
    for task in some(200):
        assert set(task.bindings) == set(task.template.variables)
        assert len(set(task.template.variables.values())) == len(task.template.variables)


def test_formulas_use_every_variable_and_the_calculator_accepts_them() -> None:
    for task in some(300):
        formulas = task.template.formulas
        assert all(re.search(rf"\b{name}\b", " ".join(formulas)) for name in task.template.variables)
        values = {name: str(n) for n, name in enumerate(task.template.variables, 7)}
        assert evaluate_in_process(formulas, values)[-1].value is not None


def test_the_splits_share_no_word_for_a_thing() -> None:
    words = {split: {word for p in islice(phrases(1, split), 2_000) for word in p.split()} for split in Split}
    assert not words[Split.TRAIN] & words[Split.HELDOUT]
    assert len(words[Split.HELDOUT]) > 100


def test_a_difficulty_is_kept_to() -> None:
    easy = Difficulty(variables=(2,), other_words=0, shuffled=0, distractors=(0,), earlier_result=0)
    for task in some(100, difficulty=easy):
        assert len(task.bindings) == 2
        assert not task.shuffled
        assert list(task.bindings) == list(task.template.variables)
        assert len(re.findall(r"-?\d+", text_of(task))) == 2
        for name, value in task.bindings.items():
            meaning = task.template.variables[name].removeprefix("the ")
            text = text_of(task).lower()
            assert f"the {meaning} is {value}".lower() in text or f"{meaning}: {value}".lower() in text


def test_shuffled_tasks_tell_their_numbers_in_another_order_than_the_template() -> None:
    for task in some(200):
        assert task.shuffled == (list(task.bindings) != list(task.template.variables))


def test_some_tasks_take_an_earlier_result_and_some_have_numbers_that_belong_to_nothing() -> None:
    tasks = some(300)
    assert any("r1" in task.bindings.values() for task in tasks)
    assert any(len(re.findall(r"-?\d+", text_of(task))) > len(task.bindings) for task in tasks)


def test_conversations_are_what_the_service_sends_and_accepts() -> None:
    for task in some(50):
        prompt, answer = conversation_of(task)
        assert [Message(role="user", content=prompt.content)] == prompting.render(task.request, "compact")
        assert prompting.read(answer.content).bindings == task.bindings
        assert (prompt.learn, answer.learn) == (False, True)


def test_recall_tells_every_phrase_again_in_the_order_asked_for() -> None:
    for prompt, answer in islice(binding_corpus.recall_conversations(1, (3, 5)), 50):
        told, asked = (line.partition(": ")[2].split("; ") for line in prompt.content.splitlines())
        assert sorted(answer.content.removeprefix("told: ").split("; ")) == sorted(told)
        assert [part.rpartition(":")[0] for part in answer.content.removeprefix("told: ").split("; ")] == asked


def test_held_families_are_in_no_conversation_that_is_learned_from() -> None:
    library = read_library(LIBRARY_FOLDER)
    held = {library[ALL[name].template_id].name for name in BindMixture().held_families}
    for conversation in islice(binding_corpus.ladder_conversations(library, BindMixture(), 1), 400):
        assert not any(f"template: {name}\n" in conversation[0].content for name in held)
    assert not {ALL[name].template_id for name in binding_corpus.kept_families(BindMixture())} & {
        ALL[name].template_id for name in BindMixture().held_families
    }


def answering(tasks: list[Task]) -> Say:
    """Replies with the right bindings to every other task."""

    def say(prompts: object) -> list[str]:
        return [
            json.dumps({"fits": True, "reasoning": "", "bindings": task.bindings if n % 2 else {"x": "1"}})
            for n, task in enumerate(tasks)
        ]

    return say


def test_a_measure_counts_the_steps_whose_bindings_are_all_right() -> None:
    tasks = ladder_tasks(read_library(LIBRARY_FOLDER), ("meeting-time",), BindMixture(), 10)
    found = measure(answering(tasks), "held", tasks)
    assert found.bound == found.solved == (False, True) * 5
    assert 0 < found.chance <= round(1 / 6, 4)


def test_chance_counts_every_number_of_the_text() -> None:
    two = Difficulty(variables=(2,), distractors=(1,), earlier_result=0)
    tasks = [Task(request=t.request, template=t.template, bindings=t.bindings) for t in some(4, Split.HELDOUT, two)]
    assert measure(answering(tasks), "one number too many", tasks).chance == pytest.approx(1 / 6, abs=1e-3)


def test_the_mixture_begins_with_recall_and_comes_to_templates() -> None:
    library = read_library(LIBRARY_FOLDER)
    told = list(islice(binding_corpus.bind_conversations(library, BindMixture(), seed=1, tokens=30_000), 300))
    assert told[0][0].content.startswith("told: ")
    assert all(c[0].content.startswith("executor\n") for c in told[-30:])


def test_under_letters_a_template_calculates_what_it_did_before() -> None:
    mixture = BindMixture(letters=True)
    tasks = ladder_tasks(read_library(LIBRARY_FOLDER), tuple(ALL), mixture, 120)
    assert all(len(name) == 1 for task in tasks for name in task.template.variables)
    known = [task for task in tasks if not any(value.startswith("r") for value in task.bindings.values())]
    assert len(known) > 60
    for task in known:
        values = evaluate_in_process(task.template.formulas, task.bindings)
        assert values[-1].value == task.result


@pytest.mark.parametrize("told", Told)
def test_a_reply_gives_every_binding_in_its_order(told: Told) -> None:
    for task in some(40):
        reply = json.loads(conversation_of(task, told)[-1].content)
        assert reply["bindings"] == task.bindings
        in_order = list(task.bindings if told is Told.READING else task.template.variables)
        assert list(reply["bindings"]) == in_order
        meant = [f"{task.template.variables[name]}: {task.bindings[name]}" for name in in_order]
        assert reply["reasoning"] == ("" if told is Told.PLAIN else "; ".join(meant))


def test_conversations_are_endless() -> None:
    assert len(list(islice(invented_conversations(1), 20))) == 20
