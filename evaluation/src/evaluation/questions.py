"""What a run asks: generated problems of the ladder, or a benchmark. The same questions are the same, in order."""

from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import yaml
from pydantic import Field

from evaluation import benchmarks
from evaluation.attempt import Task
from evaluation.ladder import ALL, Split, generate
from evaluation.ladder.compose import MAX_DEPTH
from evaluation.ladder.outside import outside
from reasonflux.contracts import Contract, ThoughtTemplate
from reasonflux.errors import InvalidRequest


class LadderQuestions(Contract):
    """Generated problems, balanced over the depths, then the ones to decline."""

    kind: Literal["ladder"] = "ladder"
    split: Split = Split.HELDOUT
    depths: tuple[int, ...] = (1, 2, 3)
    limit: int = Field(default=100, ge=0)
    families: tuple[str, ...] = ()
    outside: int = Field(default=0, ge=0)
    seed: int = 0

    @property
    def name(self) -> str:
        return "ladder"

    def tasks(self) -> list[Task]:
        """Raises InvalidRequest."""
        unknown = [name for name in self.families if name not in ALL]
        if unknown:
            raise InvalidRequest(f"there is no family {', '.join(unknown)}", hint=f"choose from {', '.join(ALL)}")
        if not self.depths or not all(1 <= depth <= MAX_DEPTH for depth in self.depths):
            raise InvalidRequest(f"depths must be between 1 and {MAX_DEPTH}", hint="such as --depth 1,2,3")
        problems = generate(self.split, self.depths, seed=self.seed, families=self.families or None)
        strangers = outside(self.split, seed=self.seed)
        asked = [Task.of_ladder(problem) for problem in islice(problems, self.limit)]
        return asked + [Task.of_outside(text) for text in islice(strangers, self.outside)]


class BenchmarkQuestions(Contract):
    """A benchmark's problems, or a random part of them (`limit`) in their own order."""

    kind: Literal["benchmark"] = "benchmark"
    name: str
    source: str
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    size: int
    """Problems with an answer in the whole benchmark."""
    without_answer: int = 0
    """Rows that were left out because they have none."""
    fingerprint: str

    @classmethod
    def find(
        cls, name: str, *, data: Path | None = None, limit: int | None = None, seed: int = 0
    ) -> "BenchmarkQuestions":
        """A benchmark by its name, a path, or `hub:owner/set@split`. Raises BenchmarkMissing, BenchmarkUnreadable."""
        source = benchmarks.locate(name, data)
        short = Path(source).stem if not source.startswith(benchmarks.HUB) else source.removeprefix(benchmarks.HUB)
        tasks, without = benchmarks.load(source, short)
        return cls(
            name=short, source=source, limit=limit, seed=seed, size=len(tasks), without_answer=without,
            fingerprint=benchmarks.fingerprint(tasks),
        )  # fmt: skip

    def tasks(self) -> list[Task]:
        """Raises BenchmarkMissing or BenchmarkUnreadable, also when the benchmark is not what it was."""
        tasks, _ = benchmarks.load(self.source, self.name)
        if benchmarks.fingerprint(tasks) != self.fingerprint:
            hint = "a run goes on with the benchmark that it began with: begin a new run"
            raise benchmarks.BenchmarkUnreadable(f"{self.source} has changed since the run began", hint=hint)
        if self.limit is None or self.limit >= len(tasks):
            return tasks
        chosen = sorted(Random(self.seed).sample(range(len(tasks)), self.limit))
        return [tasks[place] for place in chosen]


class ExampleQuestions(Contract):
    """The worked examples of a library's templates, each with its template as the gold trajectory: problems in words of
    their own. `seen`: of templates that the ladder's families use, so the shipped weights' training; or others."""

    kind: Literal["examples"] = "examples"
    folder: str = "services/template-store/library"
    seen: bool
    limit: int = Field(default=100, ge=1)
    seed: int = 0

    @property
    def name(self) -> str:
        return f"examples of {'seen' if self.seen else 'unseen'} templates"

    def tasks(self) -> list[Task]:
        """Raises InvalidRequest."""
        used = {family.template_id for family in ALL.values()}
        paths = sorted(Path(self.folder).rglob("*.yaml"))
        read = [ThoughtTemplate.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in paths]
        found = [template for template in read if (template.id in used) is self.seen]
        if not found:
            raise InvalidRequest(f"{self.folder} holds no such template", hint="give a library's folder of YAML files")
        chosen = Random(self.seed).sample(found, min(self.limit, len(found)))
        return [
            Task(
                id=template.id, text=template.example.problem, gold=template.example.answer,
                templates=(template.id,), subject=template.field.partition("/")[0],
            )
            for template in chosen
        ]  # fmt: skip


Questions = Annotated[LadderQuestions | BenchmarkQuestions | ExampleQuestions, Field(discriminator="kind")]
