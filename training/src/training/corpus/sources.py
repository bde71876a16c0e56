"""Which sources a corpus is put together from, as a config tells it."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydantic import Field, model_validator

from evaluation.ladder import ALL, Split
from navigator.planning import Profile
from reasonflux.contracts import Contract
from training.corpus import sessions, structure, taught
from training.corpus.executor import executor_conversations
from training.corpus.mixture import DEFAULT, Library, Mixture
from training.corpus.navigator import navigator_sessions
from training.corpus.sample import Sample, navigator_kind

LADDER = "ladder"


class LadderSource(Contract):
    """Simulated sessions from gold trajectories of generated problems."""

    conversations: int = Field(default=20_000, ge=0, description="of the navigator, to train on")
    heldout: int = Field(default=1_000, ge=0, description="of the navigator, held out")
    instantiations: int = Field(default=0, ge=0, description="of the executor, to train on")
    heldout_instantiations: int = Field(default=0, ge=0)
    seed: int = 1
    mixture: Mixture = DEFAULT


class StructureSource(Contract):
    """The library itself, paper Eq. 2."""

    reverse: bool = Field(default=True, description="also from description and scope to the name")


class TeacherSource(Contract):
    """Trajectories that an LLM told from solved problems."""

    folder: Path = Field(description="what `reasonflux train teacher` wrote")


class SessionsSource(Contract):
    """What a navigator did in earnest."""

    journals: tuple[Path, ...] = Field(min_length=1, description="exported events, JSON lines")
    answers: Path | None = Field(default=None, description="JSON lines of problem and answer; wrong sessions are left")


class SourcesConfig(Contract):
    profile: Profile = Field(default=Profile.COMPACT, description="the prompts that the trained navigator will get")
    ladder: LadderSource | None = None
    structure: StructureSource | None = None
    teacher: TeacherSource | None = None
    sessions: SessionsSource | None = None

    @model_validator(mode="after")
    def _instantiations_are_told_compactly(self) -> "SourcesConfig":
        told = self.ladder is not None and self.ladder.instantiations + self.ladder.heldout_instantiations > 0
        if told and self.profile is not Profile.COMPACT:
            raise ValueError("ladder.instantiations are rendered in the compact profile only: leave them out")
        return self

    def named(self) -> dict[str, str]:
        """What the config asks for: a field's name, and what its samples call themselves."""
        names = {"structure": structure.SOURCE, "ladder": LADDER, "teacher": taught.SOURCE, "sessions": sessions.SOURCE}
        return {field: name for field, name in names.items() if getattr(self, field) is not None}

    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        found: list[Path] = []
        if self.teacher is not None:
            found += [self.teacher.folder / name for name in (taught.TRAJECTORIES, taught.REJECTS)]
        if self.sessions is not None:
            found += [*self.sessions.journals, *([self.sessions.answers] if self.sessions.answers else [])]
        return tuple(found)


def gather(config: SourcesConfig, library: Library, left_out: dict[str, Counter[str]]) -> Iterator[Sample]:
    """The samples of every source, one source after the other; `left_out` counts by source what gave none."""
    if config.structure is not None:
        yield from structure.structure_pass(library, config.structure.reverse)
    if config.ladder is not None:
        needed = {family.template_id for family in ALL.values()}
        own = {name: template for name, template in library.items() if name in needed}
        yield from ladder_samples(config.ladder, own, config.profile)
    if config.teacher is not None:
        yield from taught.taught_samples(config.teacher.folder, library, config.profile, left_out[taught.SOURCE])
    if config.sessions is not None:
        journals = sessions.read_journals(config.sessions.journals)
        answers = sessions.read_answers(config.sessions.answers) if config.sessions.answers else {}
        yield from sessions.session_samples(journals, config.profile, answers, left_out[sessions.SOURCE])


def ladder_samples(config: LadderSource, library: Library, profile: Profile) -> Iterator[Sample]:
    """The endless streams, as long as the config says. They know their side."""
    sizes = {
        Split.TRAIN: (config.conversations, config.instantiations),
        Split.HELDOUT: (config.heldout, config.heldout_instantiations),
    }
    for split, (sessions_wanted, instantiations) in sizes.items():
        stream = navigator_sessions(library, config.seed, config.mixture, split, profile=profile)
        for text, conversation in islice(stream, sessions_wanted):
            yield Sample(text, conversation, LADDER, navigator_kind(conversation), split)
        steps = executor_conversations(library, config.seed, config.mixture, split)
        for conversation in islice(steps, instantiations):
            yield Sample(None, conversation, LADDER, "instantiation", split)
