"""From a conversation to token ids and labels, under any model's chat template: only turns marked `learn` count.

A learned turn is conditioned on exactly the tokens that the engine will see: the template's rendering of the turns
before it, with the generation prompt, tokenised on its own. Its labels are what the model has to say: the content and
the token that ends the turn. Turns share one example as long as each prompt goes on with the very tokens before it. A
template that rewrites earlier turns (Qwen3 drops their thoughts) breaks that: then a turn gets an example of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, ValidationError
from transformers import PreTrainedTokenizerBase

from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest

IGNORED = -100


class ChatTurn(Contract):
    role: str
    content: str
    learn: bool | None = None
    """Whether the model learns to say this. Left out: the assistant's turns are learned."""

    @property
    def learned(self) -> bool:
        return self.role == "assistant" if self.learn is None else self.learn


class Chat(Contract):
    """One line of a corpus. Whatever else the line tells (its source, its problem) is not for this stage."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: tuple[ChatTurn, ...]


@dataclass(frozen=True)
class TokenExample:
    input_ids: list[int]
    labels: list[int]


@dataclass
class TokenCount:
    """What came of a corpus."""

    conversations: int = 0
    examples: int = 0
    tokens: int = 0
    learned: int = 0
    too_long: int = 0
    """Learned turns left out because they do not fit into the length with what goes before them."""

    def told(self) -> str:
        return (
            f"{self.conversations} conversations, {self.examples} examples, {self.tokens} tokens, "
            f"{self.learned} of them learned; {self.too_long} learned turns left out as too long"
        )


def read_chats(path: Path) -> Iterator[Chat]:
    """The conversations of a JSONL file. Raises InvalidRequest naming the line that is wrong."""
    if not path.exists():
        raise InvalidRequest(f"there is no corpus {path}", hint="the corpus stage writes it")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield Chat.model_validate_json(line)
                except ValidationError as error:
                    raise InvalidRequest(
                        f"{path}, line {number}: {error}", hint='a line is {"messages": [{"role", "content"}, …]}'
                    ) from error


def examples(
    chats: Iterable[Chat], tokenizer: PreTrainedTokenizerBase, max_length: int, count: TokenCount
) -> Iterator[TokenExample]:
    """Everything learnable of the conversations; `count` is told what came of them."""
    for chat in chats:
        count.conversations += 1
        for example in encode_chat(chat.messages, tokenizer, max_length, count):
            count.examples += 1
            count.tokens += len(example.input_ids)
            count.learned += sum(label != IGNORED for label in example.labels)
            yield example


def encode_chat(
    turns: Sequence[ChatTurn],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    count: TokenCount | None = None,
) -> list[TokenExample]:
    """One example where the template only ever grows a conversation at its end, otherwise one a learned turn.

    A learned turn that ends past `max_length` is left out whole: half a reply would teach replies without an end.
    """
    found: list[TokenExample] = []
    for place, turn in enumerate(turns):
        if not turn.learned:
            continue
        prompt, reply = _prompt_and_reply(turns[: place + 1], tokenizer)
        if max_length is not None and len(prompt) + len(reply) > max_length:
            if count is not None:
                count.too_long += 1
            continue
        seen = found[-1].input_ids if found else []
        if not found or prompt[: len(seen)] != seen:
            found.append(TokenExample([], []))
            seen = []
        fresh = prompt[len(seen) :]
        found[-1].input_ids.extend([*fresh, *reply])
        found[-1].labels.extend([*[IGNORED] * len(fresh), *reply])
    return found


def _prompt_and_reply(turns: Sequence[ChatTurn], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids of everything before the last turn's own words, and of those words up to the token that ends them."""
    if turns[-1].role != "assistant" or len(turns) == 1:
        raise InvalidRequest(
            f"a learned turn of role {turns[-1].role!r} is number {len(turns)} of its conversation",
            hint="only an assistant's turn that answers something can be learned",
        )
    prompt = _rendered(turns[:-1], tokenizer, asks=True)
    whole = _rendered(turns, tokenizer, asks=False)
    if not whole.startswith(prompt):
        raise InvalidRequest(
            f"the chat template does not go on from its own generation prompt: it asks with {prompt[-60:]!r}",
            hint="use a template whose rendering of a reply begins with what add_generation_prompt renders",
        )
    return _ids(prompt, tokenizer), _up_to_end(_ids(whole[len(prompt) :], tokenizer), tokenizer)


def _up_to_end(reply: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The reply without what the template puts behind its end (Qwen: a newline): the engine never asks for that."""
    special = set(tokenizer.all_special_ids) | {
        number for number, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    for place in range(len(reply) - 1, -1, -1):
        if reply[place] in special:
            return reply[: place + 1]
        if tokenizer.decode(reply[place]).strip():
            break
    raise InvalidRequest(
        "the chat template ends an assistant's turn without a special token, so a model could not learn to stop",
        hint="use the model's own chat template, or one that ends turns as <|im_end|> does",
    )


def _rendered(turns: Sequence[ChatTurn], tokenizer: PreTrainedTokenizerBase, *, asks: bool) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks))


def _ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))
