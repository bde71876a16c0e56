r"""Replies of language models: JSON with fences, prose and LaTeX around and inside it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonflux.contracts import FailureKind
from reasonflux.json_reply import FieldStream, ReplyUnparsable, parse_reply

LATEX = [
    *(
        r"\frac",
        r"\forall",
        r"\theta",
        r"\times",
        r"\to",
        r"\text",
        r"\tan",
        r"\triangle",
        r"\beta",
        r"\binom",
        r"\bar",
    ),
    *(
        r"\nu",
        r"\neq",
        r"\ne",
        r"\nabla",
        r"\rho",
        r"\rightarrow",
        r"\right",
        r"\lambda",
        r"\left",
        r"\sqrt",
        r"\alpha",
    ),
    *(
        r"\underline",
        r"\upsilon",
        r"\cup",
        r"\le",
        r"\pi",
        r"\in",
        r"\mathbb",
        r"\(",
        r"\)",
        r"\[",
        r"\{",
        r"\,",
        r"\;",
    ),
]


@pytest.mark.parametrize("command", LATEX)
@pytest.mark.parametrize("after", ["{x}", " x", "_1", "", "^2"])
def test_latex_survives_with_one_backslash_or_two(command: str, after: str) -> None:
    text = f"so {command}{after}"
    once = '{"reasoning": "' + text + '"}'
    twice = json.dumps({"reasoning": text})
    assert parse_reply(once) == parse_reply(twice) == {"reasoning": text}


def test_a_line_break_before_a_word_stays_a_line_break() -> None:
    assert parse_reply(r'{"a": "First.\nThen\tx\n\theta\n2"}') == {"a": "First.\nThen\tx\n\\theta\n2"}


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"a": {"b": 1}}\n```',
        'Sure! Here it is: {"a": {"b": 1}} Hope it helps.',
        'As $\\frac{1}{2}$ and {} show:\n{"a": {"b": 1}}',
        '<think>{"a": 2, "long": "abcdefghijklmnop"}</think>{"a": {"b": 1}}',
    ],
)
def test_fences_and_prose_are_passed_over(text: str) -> None:
    assert parse_reply(text) == {"a": {"b": 1}}


def test_raw_line_breaks_in_strings_are_accepted() -> None:
    assert parse_reply('{"a": "one\ntwo"}') == {"a": "one\ntwo"}


def test_lone_surrogates_become_replacement_characters() -> None:
    assert parse_reply(r'{"a": "\ud800 \ud83d\ude00"}') == {"a": "\ufffd 😀"}


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "no JSON object"),
        ("I cannot do that.", "no JSON object"),
        ('{"a": "never end', "cut off"),
        ('{"a": 1, "b"', "cut off"),
        ('{"a": 1 "b": 2} and more', "near"),
        ('{"a": NaN}', "cannot be read"),
        ("[1, 2]", "no JSON object"),
        ('{"a":' * 5000, "cannot be read"),
        ('{"a": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_a_refusal_tells_the_model_what_is_wrong(text: str, because: str) -> None:
    with pytest.raises(ReplyUnparsable, match=because) as refused:
        parse_reply(text)
    assert refused.value.failure.kind is FailureKind.UNPARSABLE_REPLY


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(PLAIN, VALUES, max_size=4), st.booleans())
def test_correct_json_is_read_as_json_reads_it(value: dict[str, object], ascii_only: bool) -> None:
    assert parse_reply(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ReplyUnparsable):
        assert isinstance(parse_reply(text), dict)


PIECES = st.lists(st.sampled_from([*LATEX, "x", " ", '"', "\n", "é", "😀", "\\", "{", "}", "th", "u00"]), max_size=12)


@given(PIECES.map("".join), st.booleans(), st.lists(st.integers(0, 300), max_size=12))
def test_a_streamed_field_is_the_parsed_field_however_it_is_cut(text: str, ascii_only: bool, cuts: list[int]) -> None:
    raw = json.dumps({"fits": True, "reasoning": text, "result": "7"}, ensure_ascii=ascii_only)
    ends = sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)})
    stream, start, seen = FieldStream("reasoning"), 0, ""
    for end in ends:
        seen += stream.feed(raw[start:end])
        start = end
    assert seen == parse_reply(raw)["reasoning"]


def test_a_streamed_field_reads_single_backslashes_as_latex() -> None:
    stream = FieldStream()
    pieces = [
        '{"fits": true, "reas',
        'oning": "as \\',
        "t",
        "heta \\f",
        "rac{1}{2}",
        "\\n",
        'Then"',
        ', "result": "x"}',
    ]
    assert [stream.feed(piece) for piece in pieces] == ["", "as ", "", r"\theta ", r"\frac{1}{2}", "", "\nThen", ""]


def test_the_fields_name_inside_another_string_is_no_field() -> None:
    raw = json.dumps({"note": 'say "reasoning": "no"', "reasoning": "yes"})
    assert FieldStream().feed(raw) == "yes"
