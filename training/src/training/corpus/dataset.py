"""Stage corpus: every source put together, cleaned, split and written down.

in    the sources that the config names (the ladder, the library, a teacher's trajectories, journals of sessions), the
      template library, benchmark files, perhaps a tokenizer
out   folder/train.jsonl and folder/heldout.jsonl, chat format with a `learn` flag for every message (see
      `training.corpus.sample.Row`); folder/statistics.json and statistics.md
how   A conversation is kept once (the same words up to case and white space). It goes to the side of its problem
      (`evaluation.ladder.problem.split_of`), so no problem is on both; the ladder splits its problems the same way
      before it tells them. What has no problem, the library, is for training. Whatever
      shares a run of words with a benchmark's problem is dropped, be it in the problem, the prompt or a reply. Where
      nothing is left to train on, there is no corpus.
run   reasonflux train corpus --config …

Files appear whole or not at all, and the statistics last: they say what the corpus was made from, so the same run again
has nothing to do, and one that was killed begins again (the costly part, the teacher, has its own memory). Remove the
folder after a change to the code itself, such as a prompt.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pydantic import Field, model_validator
from tokenizers import Tokenizer

from evaluation.ladder import Split
from evaluation.ladder.problem import digest, split_of
from reasonflux import __version__
from reasonflux.contracts import Contract
from reasonflux.errors import InvalidRequest
from template_store.quality import contamination
from training.corpus import lines
from training.corpus.mixture import Conversation, Library
from training.corpus.sample import Row, Sample, told
from training.corpus.sources import SourcesConfig, gather
from training.corpus.statistics import Group, Overlap, Statistics, became_of, lengths, markdown

TRAIN, HELDOUT, STATISTICS, PAGE = "train.jsonl", "heldout.jsonl", "statistics.json", "statistics.md"
_FILES = {Split.TRAIN: TRAIN, Split.HELDOUT: HELDOUT}
_FORM = 1
"""Another number makes every corpus anew."""
_MAX_OVERLAPS = 20

_NAME = re.compile(r"(?m)^[sr]\d+: ")

Count = Callable[[str], int]
"""The tokens of a text."""


class CorpusConfig(Contract):
    sources: SourcesConfig = SourcesConfig()
    against: tuple[Path, ...] = Field(default=(), description="benchmark files, JSON lines with a `problem` each")
    shared_words: int = Field(
        default=contamination.RUN,
        ge=4,
        le=50,
        description="words in a row that make an overlap with a benchmark; 13 is usual for long web texts",
    )
    tokenizer: str | None = Field(default=None, description="folder or name; None: token lengths are not counted")
    max_tokens: int | None = Field(default=None, ge=16, description="longer conversations are dropped")

    @model_validator(mode="after")
    def _lengths_need_a_tokenizer(self) -> "CorpusConfig":
        if self.max_tokens is not None and self.tokenizer is None:
            raise ValueError("max_tokens needs a tokenizer to count with")
        return self


def run(
    config: CorpusConfig, library: Library, folder: Path, on_progress: Callable[[int], None] = lambda _: None
) -> Path:
    """The folder with the written corpus; nothing is done when it stands there already. `on_progress` hears the number
    of samples seen. Raises InvalidRequest naming the file and the line that cannot be read, or the sources when they
    give nothing to train on."""
    inputs = _inputs(config, library)
    if _made_from(folder) == inputs:
        return folder
    left_out: dict[str, Counter[str]] = defaultdict(Counter)
    found = write(gather(config.sources, library, left_out), config, folder, inputs, left_out, on_progress)
    if not found.train:
        raise InvalidRequest(
            f"the corpus has no conversation to train on: {became_of(config.sources.named(), found)}",
            hint=f"name a source in corpus.sources that has more; {folder / PAGE} has the counts",
        )
    return folder


def write(
    samples: Iterable[Sample],
    config: CorpusConfig,
    folder: Path,
    inputs: str = "",
    left_out: dict[str, Counter[str]] | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Statistics:
    """Clean, split and write any samples. `left_out` is read when they have come to their end."""
    benchmarks = Benchmarks.read(config.against, config.shared_words)
    sieve = _Sieve(benchmarks, _counter(config.tokenizer), config.max_tokens)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATISTICS).unlink(missing_ok=True)
    parts = {side: folder / f"{name}.part" for side, name in _FILES.items()}
    with parts[Split.TRAIN].open("w") as train, parts[Split.HELDOUT].open("w") as heldout:
        files: dict[Split, TextIO] = {Split.TRAIN: train, Split.HELDOUT: heldout}
        for seen, sample in enumerate(samples, 1):
            if sieve.keeps(sample):
                files[side_of(sample)].write(row_of(sample).model_dump_json() + "\n")
            on_progress(seen)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    found = sieve.statistics(inputs, left_out or {}, [path.name for path in config.against])
    for side, part in parts.items():
        part.replace(folder / _FILES[side])
    _write_whole(folder / PAGE, markdown(found))
    _write_whole(folder / STATISTICS, found.model_dump_json(indent=1) + "\n")
    return found


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a written corpus. Raises InvalidRequest with the line that cannot be read."""
    return lines.read(path, Row, "it is written by `reasonflux train corpus`")


def side_of(sample: Sample) -> Split:
    """By the problem's text, unless the source says it: what has neither is for training."""
    return sample.split or (Split.TRAIN if sample.problem is None else split_of(sample.problem))


def row_of(sample: Sample) -> Row:
    problem = digest(sample.problem) if sample.problem is not None else None
    return Row(messages=told(sample.conversation), problem=problem, source=sample.source, kind=sample.kind)


# --- what is kept ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Benchmarks:
    """Runs of words in benchmark problems (see `template_store.quality.contamination`), and whose they are."""

    size: int
    holders: dict[tuple[str, ...], contamination.BenchmarkProblem]

    @classmethod
    def read(cls, paths: Sequence[Path], size: int) -> "Benchmarks":
        """Raises InvalidRequest with the line that cannot be read."""
        problems = [problem for path in paths for problem in contamination.read_benchmark(path)]
        holders = {run: problem for problem in reversed(problems) for run in _runs(problem.problem, size)}
        return cls(size, holders)

    def overlap(self, sample: Sample) -> contamination.BenchmarkProblem | None:
        """A problem that shares words with the sample's problem or with anything said in its conversation."""
        # statements without their names, so that words are also found across sentences
        said = [_NAME.sub("", turn.content) for turn in sample.conversation if turn.role != "system"]
        for text in (sample.problem or "", *said) if self.holders else ():
            for run in _runs(text, self.size):
                if run in self.holders:
                    return self.holders[run]
        return None


def _runs(text: str, size: int) -> Iterator[tuple[str, ...]]:
    """A text that is shorter is one run."""
    found = contamination.words(text)
    return (tuple(found[start : start + size]) for start in range(max(1, len(found) - size + 1)) if found)


@dataclass
class _Group:
    counts: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    learned: int = 0


class _Sieve:
    """Decides what is kept, and counts."""

    def __init__(self, benchmarks: Benchmarks, count: Count | None, max_tokens: int | None) -> None:
        self._benchmarks, self._count, self._max_tokens = benchmarks, count, max_tokens
        self._seen: set[str] = set()
        self._problems: dict[Split, set[str]] = {side: set() for side in Split}
        self._groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
        self._overlaps: list[Overlap] = []

    def keeps(self, sample: Sample) -> bool:
        group = self._groups[sample.source, sample.kind]
        words = fingerprint(sample.conversation)
        if words in self._seen:
            group.counts["duplicates"] += 1
            return False
        self._seen.add(words)
        problem = None if sample.problem is None else digest(sample.problem)
        overlap = self._benchmarks.overlap(sample)
        if overlap is not None:
            group.counts["contaminated"] += 1
            told_of = Overlap(
                source=sample.source, problem=problem, benchmark=overlap.source, benchmark_problem=overlap.id
            )
            self._overlaps.append(told_of)
            return False
        if not self._short_enough(sample.conversation, group):
            group.counts["too_long"] += 1
            return False
        side = side_of(sample)
        group.counts[side.value] += 1
        group.counts["learned_messages"] += sum(turn.learn for turn in sample.conversation)
        if problem is not None:
            self._problems[side].add(problem)
        return True

    def _short_enough(self, conversation: Conversation, group: _Group) -> bool:
        if self._count is None:
            return True
        sizes = [self._count(turn.content) for turn in conversation]
        if self._max_tokens is not None and sum(sizes) > self._max_tokens:
            return False
        group.sizes.append(sum(sizes))
        group.learned += sum(size for size, turn in zip(sizes, conversation, strict=True) if turn.learn)
        return True

    def statistics(self, inputs: str, left_out: dict[str, Counter[str]], benchmarks: Sequence[str]) -> Statistics:
        groups = [
            Group(source=name, kind=kind, lengths=lengths(g.sizes, g.learned), **g.counts)
            for (name, kind), g in self._groups.items()
        ]
        return Statistics(
            inputs=inputs,
            groups=tuple(groups),
            problems={side: len(problems) for side, problems in self._problems.items()},
            left_out={source: dict(reasons.most_common()) for source, reasons in left_out.items()},
            overlaps=tuple(self._overlaps[:_MAX_OVERLAPS]),
            benchmarks=tuple(benchmarks),
        )


def fingerprint(conversation: Conversation) -> str:
    """The digest of what is said and by whom, up to case and white space."""
    return digest("\n".join(f"<{turn.role}> {turn.content}" for turn in conversation))


def _counter(tokenizer: str | None) -> Count | None:
    """Raises InvalidRequest when there is no such tokenizer."""
    if tokenizer is None:
        return None
    path = Path(tokenizer)
    try:
        if path.exists():
            loaded = Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))
        else:
            loaded = Tokenizer.from_pretrained(tokenizer)
    except Exception as error:  # the library raises nothing narrower
        raise InvalidRequest(
            f"the tokenizer {tokenizer} cannot be loaded: {error}", hint="give a folder with a tokenizer.json"
        ) from error
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


# --- what it is made from -------------------------------------------------------------------------------------------


def _inputs(config: CorpusConfig, library: Library) -> str:
    """A digest of the config, the templates and every file that is read."""
    total = hashlib.sha256(f"{__version__} {_FORM} {config.model_dump_json()}".encode())
    for name in sorted(library):
        total.update(library[name].model_dump_json().encode())
    for path in (*config.against, *config.sources.files()):
        try:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror}", hint="see the corpus section") from error
    return total.hexdigest()


def _made_from(folder: Path) -> str | None:
    """What the corpus that stands there was made from; None when there is none, not all of it, or nothing in it."""
    try:
        found = Statistics.model_validate_json((folder / STATISTICS).read_text())
    except (OSError, ValueError):
        return None
    return found.inputs if found.train and all((folder / name).exists() for name in _FILES.values()) else None


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)
