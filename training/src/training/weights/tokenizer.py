"""A small byte-level BPE tokenizer with a chat template, trained on the corpus.

Digits stay single, so that numbers are copied digit by digit; punctuation runs merge, so that JSON costs few tokens.
A symbol is one token wherever it stands: the space before a symbol or a number belongs to the word before it ("Let ",
"K"). With " K" in the text and "K" in "2^K" a model has to learn that the two are the same, and with a bare space
before both, that "Let" named the one.
"""

from collections.abc import Iterable
from functools import partial
from itertools import islice

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.corpus import Conversation

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
_SYMBOL = r"\p{Lu}(?!\p{L})"
_SPACE = rf"(?: (?=\d|{_SYMBOL}))?"
_WORDS = Regex(
    rf"(?<![\p{{L}}\d])[rs]\d+|\d|(?<!\p{{L}}){_SYMBOL}"
    rf"| ?(?!{_SYMBOL})(?![rs]\d)\p{{L}}+{_SPACE}| ?[^\s\p{{L}}\d]+{_SPACE}|\s+"
)
_IDS = tuple(
    AddedToken(f"{kind}{number}", single_word=True, normalized=False)
    for kind, last in (("s", 40), ("r", 24))
    for number in range(1, last + 1)
)
"""Statements and results as navigator and executor name them, a token each."""
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{ASSISTANT}' if message.role == 'assistant' else '{USER}' }}}}"
    f"{{{{ message.content }}}}{END}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{ASSISTANT}{{% endif %}}"
)


def train_tokenizer(conversations: Iterable[Conversation], size: int, sample: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` entries learned from the first `sample` conversations, the names of steps included."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(_IDS),
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (turn.content for conversation in islice(conversations, sample) for turn in conversation)
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens(list(_IDS))
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, eos_token=END)
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def encode(conversation: Conversation, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Token ids as the chat template lays them out, and labels: the same ids where they are learned, else -100."""
    ids: list[int] = []
    labels: list[int] = []
    special = partial(tokenizer.convert_tokens_to_ids)
    for turn in conversation:
        opening = special(ASSISTANT if turn.role == "assistant" else USER)
        content = [*tokenizer.encode(turn.content, add_special_tokens=False), special(END)]
        ids += [opening, *content]
        labels += [-100, *(content if turn.learn else [-100] * len(content))]
    return ids, labels
