"""From studies to reports: what `reasonflux train study` does."""

from datetime import date
from pathlib import Path

from reasonflux.errors import InvalidRequest
from training.reporting import results
from training.running import pipeline
from training.running.progress import Progress
from training.running.sections import section
from training.stages import tiny
from training.studies import binding, binding_report, depth, depth_report, preference

REPORTS = Path("training/reports")
LOG = Path("training/LOG.md")
DEPTH_CONFIG = Path("training/configs/studies/depth.yaml")
BINDING_CONFIG = Path("training/configs/studies/binding.yaml")


def report(name: str, runs: Path, library: Path, only: str | None = None, report_only: bool = False) -> Path:
    """Carry out what is left of a study, and write its report. `only`: this stage and what it needs. `report_only`:
    report on what has ended. Raises InvalidRequest for an unknown study."""
    today = date.today()
    if name == "binding":
        probe = binding.Study(
            section(BINDING_CONFIG, "binding", binding.BindingStudy), runs / "binding", tiny.read_library(library)
        )
        if not report_only:
            pipeline.run(probe.stages(), probe.folder, Progress("binding", LOG), until=only)
        return results.save(binding_report.report(probe.config, probe.ended(), today), REPORTS)
    if name == "depth":
        study = depth.Study(
            section(DEPTH_CONFIG, "depth", depth.DepthStudy), runs / "depth", tiny.read_library(library)
        )
        if not report_only:
            pipeline.run(study.stages(), study.folder, Progress("depth", LOG), until=only)
        return results.save(depth_report.report(study, today), REPORTS)
    if name == "preference":
        return results.save(preference.preference_report(runs, today), REPORTS)
    if name == "structure":
        return results.save(preference.structure_report(runs, today), REPORTS)
    raise InvalidRequest(f"there is no study {name}", hint="choose from binding, depth, preference, structure")
