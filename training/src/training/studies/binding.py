"""Study: can a tiny executor bind the variables of a template that it has never seen?

in    a config (configs/studies/binding.yaml), the template library
out   runs/binding/<experiment>.<name>/probe.json, a run each (`training.studies.binding_probe`); a report
run   reasonflux train study binding       (--report-only: of the runs that have ended, without running any)

Runs stand on nothing but themselves: one that is added or changed runs alone, and a study that was stopped goes on with
the runs that have not ended.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from reasonflux.contracts import Contract
from training.corpus import Library
from training.running import pipeline, run_folder
from training.running.pipeline import Due, Stage, fingerprint
from training.studies import binding_probe
from training.studies.binding_learning import CHECKPOINT, ProbeConfig
from training.studies.binding_probe import Experiment, ProbeReport

DEFAULTS = "defaults"


class BindingStudy(Contract):
    """Which runs there are, by experiment and name. In the file `defaults` stand in every run that does not say
    otherwise, down to single fields of shape and recipe."""

    recall: dict[str, ProbeConfig] = Field(default_factory=dict)
    bind: dict[str, ProbeConfig] = Field(default_factory=dict)
    did_not_work: tuple[str, ...] = ()
    """What was tried outside these runs and in vain, with its figures."""

    @field_validator("recall", "bind", mode="before")
    @classmethod
    def _with_defaults(cls, runs: Any) -> Any:
        if not isinstance(runs, Mapping):
            return runs
        defaults = runs.get(DEFAULTS) or {}
        return {name: _over(defaults, told or {}) for name, told in runs.items() if name != DEFAULTS}

    def runs(self) -> list[tuple[Experiment, str, ProbeConfig]]:
        recall: list[tuple[Experiment, str, ProbeConfig]] = [("recall", *run) for run in self.recall.items()]
        return recall + [("bind", *run) for run in self.bind.items()]


def _over(defaults: Any, told: Any) -> Any:
    """What is told, and the defaults where nothing is, field by field."""
    if not isinstance(defaults, Mapping) or not isinstance(told, Mapping):
        return told
    both = {name: _over(defaults[name], told[name]) for name in defaults.keys() & told.keys()}
    return {**defaults, **told, **both}


@dataclass(frozen=True)
class Study:
    config: BindingStudy
    folder: Path
    library: Library

    def stages(self) -> list[Stage]:
        return [self._stage(*run) for run in self.config.runs()]

    def ended(self) -> list[ProbeReport]:
        """The runs that have ended and are what the config says today, in its order."""
        due = pipeline.plan(self.stages(), run_folder.read(self.folder), self.folder)
        done = [name for name, why in due.items() if why is Due.DONE]
        return [ProbeReport.model_validate_json((self.folder / name / "probe.json").read_bytes()) for name in done]

    def _stage(self, experiment: Experiment, name: str, config: ProbeConfig) -> Stage:
        return Stage(
            f"{experiment}.{name}",
            self._carried_out(experiment, name, config),
            (Path(f"{experiment}.{name}"),),
            fingerprint(config),
            resumes=True,
            needs=(),
        )

    def _carried_out(self, experiment: Experiment, name: str, config: ProbeConfig) -> Callable[[Path], str]:
        def run(out: Path) -> str:
            if experiment == "recall":
                report = binding_probe.recall(name, config, out)
            else:
                report = binding_probe.bind(name, config, self.library, out)
            (out / "probe.json").write_text(report.model_dump_json(indent=1))
            (out / CHECKPOINT).unlink(missing_ok=True)  # three times the weights
            return told(report)

        return run


def told(report: ProbeReport) -> str:
    """The share of right numbers by kind of task, in half a line."""
    shares = [
        f"{kind} {100 * sum(judged.right) / max(1, sum(judged.numbers)):.0f}%"
        for kind, judged in report.last.judged.items()
    ]
    return f"{report.last.tokens / 1e6:.1f}M tokens, numbers right: {', '.join(shares)}"
