"""From studies to reports: what `reasonflux train study` does."""

from datetime import date
from pathlib import Path

from reasonflux.errors import InvalidRequest
from training import tiny
from training.reporting import results
from training.running import pipeline
from training.running.progress import Progress
from training.running.sections import section
from training.studies import depth, preference

REPORTS = Path("training/reports")
DEPTH_CONFIG = Path("training/configs/studies/depth.yaml")


def report(name: str, runs: Path, library: Path) -> Path:
    """Carry out what is left of a study, and write its report. Raises InvalidRequest for an unknown one."""
    today = date.today()
    if name == "depth":
        study = depth.Study(
            section(DEPTH_CONFIG, "depth", depth.DepthStudy), runs / "depth", tiny.read_library(library)
        )
        pipeline.run(study.stages(), study.folder, Progress("depth", Path("training/LOG.md")))
        return results.save(depth.report(study, today), REPORTS)
    if name == "preference":
        return results.save(preference.preference_report(runs, today), REPORTS)
    if name == "structure":
        return results.save(preference.structure_report(runs, today), REPORTS)
    raise InvalidRequest(f"there is no study {name}", hint="choose from depth, preference, structure")
