"""A small byte-level BPE tokenizer with a chat template, trained on the corpus.

Digits stay single, so that numbers are copied digit by digit; punctuation runs merge, so that JSON costs few tokens.
"""

from collections.abc import Iterable
from functools import partial
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.corpus import Conversation

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
_WORDS = Regex(r"\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s+")
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{ASSISTANT}' if message.role == 'assistant' else '{USER}' }}}}"
    f"{{{{ message.content }}}}{END}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{ASSISTANT}{{% endif %}}"
)


def train_tokenizer(conversations: Iterable[Conversation], size: int, sample: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `size` entries learned from the first `sample` conversations."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (turn.content for conversation in islice(conversations, sample) for turn in conversation)
    bpe.train_from_iterator(texts, trainer)
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
