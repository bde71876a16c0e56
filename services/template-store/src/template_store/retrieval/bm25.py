"""BM25 over words and over runs of characters, in one inverted index that changes with the library.

Words carry meaning; runs of five characters, taken across word boundaries, forgive a misspelt or inflected word and see
formulas (`a_n = a_1 +`), which have no words. Together in one stream they found more than either, and more than two
separate scores (docs/results/retrieval.md).
"""

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and any are as at be but by can do does for from has have how if in into is it its of on or so such that "
        "the their them then there these they this those to was we what when where which who will with you your",
    )
)
WORD = re.compile(r"[a-z0-9]+")
RUN = 5
_PAUSE = re.compile(r"[,.;:?!]+(?=\s|$)")


def words(text: str) -> list[str]:
    """The words that carry meaning, lower case, without plural s; numbers are left out: they belong to one problem."""
    found = WORD.findall(text.lower().replace("'s", ""))
    return [_singular(word) for word in found if word not in STOP_WORDS and not word.isdigit()]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def runs(text: str) -> Iterator[str]:
    """Every five characters in a row of the text without its stop words. Superscripts and the like become plain."""
    plain = _PAUSE.sub("", unicodedata.normalize("NFKC", text).lower())
    line = " ".join(word for word in plain.split() if word not in STOP_WORDS)
    line = f" {line} "
    return (line[i : i + RUN] for i in range(len(line) - RUN + 1)) if line.strip() else iter(())


def tokens(text: str) -> Counter[str]:
    """What BM25 counts. Words are marked, so that a word of five letters is not taken for a run."""
    found = Counter(f"#{word}" for word in words(text))
    found.update(runs(text))
    return found


class _Postings:
    """The slots that hold one token, and how often."""

    __slots__ = ("counts", "slots")

    def __init__(self) -> None:
        self.slots, self.counts = array("i"), array("f")


class Bm25:
    """Okapi BM25 over one text per key. A text that is deleted leaves its postings behind until a quarter is dead."""

    K1, B = 1.2, 0.75
    LONGEST_READ = 400_000
    """Postings read for one query. A library so large that a query has more is asked by its rarest tokens only."""

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self._clear()
        for key, text in (texts or {}).items():
            self.upsert(key, text)

    def _clear(self) -> None:
        self._texts: dict[str, str] = {}
        self._slots: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._lengths = array("f")
        self._postings: dict[str, _Postings] = {}
        self._holders: Counter[str] = Counter()
        self._total = 0.0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def keys(self) -> list[str | None]:
        """The key of each slot of `scores`; None where a text was deleted."""
        return self._keys

    def slot(self, key: str) -> int:
        return self._slots[key]

    def upsert(self, key: str, text: str) -> None:
        if self._texts.get(key) == text:
            return
        self.delete([key])
        counts, slot = tokens(text), len(self._keys)
        for token, count in counts.items():
            posting = self._postings.setdefault(token, _Postings())
            posting.slots.append(slot)
            posting.counts.append(count)
        self._holders.update(counts.keys())
        self._keys.append(key)
        self._lengths.append(counts.total())
        self._total += counts.total()
        self._texts[key], self._slots[key] = text, slot

    def delete(self, keys: Iterable[str]) -> None:
        """Keys that are not there are passed over."""
        for key in keys:
            slot = self._slots.pop(key, None)
            if slot is None:
                continue
            self._keys[slot] = None
            self._total -= self._lengths[slot]
            self._holders.subtract(tokens(self._texts.pop(key)).keys())
        if len(self._keys) > 64 and 4 * len(self._slots) < 3 * len(self._keys):
            kept = self._texts
            self._clear()
            for key, text in kept.items():
                self.upsert(key, text)

    def _rarity(self, token: str) -> float:
        holders = self._holders[token]
        return math.log(1 + (len(self._slots) - holders + 0.5) / (holders + 0.5))

    def scores(self, text: str) -> npt.NDArray[np.float64]:
        """By slot: the share, in 0…1, of the score of a text that repeats every token of the query without end."""
        found = np.zeros(len(self._keys))
        rarities = {token: self._rarity(token) for token in tokens(text)}
        held = sorted((token for token in rarities if token in self._postings), key=rarities.__getitem__, reverse=True)
        postings, read = list[_Postings](), 0
        for token in held:
            posting = self._postings[token]
            read += len(posting.slots)
            if read > self.LONGEST_READ and postings:
                del rarities[token]
            else:
                postings.append(posting)
        best = sum(rarities.values()) * (self.K1 + 1)
        if not postings or not best:
            return found
        where = np.frombuffer(b"".join(posting.slots for posting in postings), dtype=np.int32)
        often = np.frombuffer(b"".join(posting.counts for posting in postings), dtype=np.float32)
        weights = [rarities[token] for token in held if token in rarities]
        sizes = [len(posting.slots) for posting in postings]
        lengths = np.frombuffer(self._lengths, dtype=np.float32)[where]
        damping = self.K1 * (1 - self.B + self.B * lengths * (len(self._slots) / max(self._total, 1.0)))
        values = np.repeat(weights, sizes) * often * (self.K1 + 1) / (often + damping)
        return np.bincount(where, weights=values, minlength=len(found)) / best

    def by_key(self, text: str) -> dict[str, float]:
        """`scores` of the texts that are there, by key."""
        found = self.scores(text)
        return {key: float(found[slot]) for key, slot in self._slots.items()}
