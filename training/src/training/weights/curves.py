"""A trainer's log as curve.csv and curve.png: one row a logged step, written anew each time.

The rows come from the trainer's own history, which its checkpoints keep: a run that went on after a break has no row
twice.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

from reasonflux.contracts import Contract


class Column(Contract):
    name: str
    """In the CSV's header."""
    key: str
    """In the trainer's log."""
    panel: str
    """Columns of one panel are drawn together; none are drawn where it is empty."""


def write(history: Sequence[Mapping[str, float]], columns: Sequence[Column], folder: Path) -> None:
    """curve.csv in `folder`; what is logged apart at the same step (training, evaluation) shares a row."""
    merged: dict[int, dict[str, float]] = {}
    for entry in history:
        merged.setdefault(int(entry["step"]), {}).update(entry)
    unfinished = folder / "curve.tmp"
    with unfinished.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", *(column.name for column in columns)))
        for step, entry in sorted(merged.items()):
            writer.writerow((step, *(_shown(entry.get(column.key)) for column in columns)))
    unfinished.replace(folder / "curve.csv")


def read(folder: Path) -> list[dict[str, float]]:
    """The rows of curve.csv; what was not measured at a step is left out of its row."""
    with (folder / "curve.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def plot(columns: Sequence[Column], title: str, folder: Path) -> None:
    """curve.png from curve.csv: a panel for each `Column.panel`, over the steps."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = read(folder)
    panels = list(dict.fromkeys(column.panel for column in columns if column.panel))
    figure, axes = plt.subplots(len(panels), 1, figsize=(7, 2.2 * len(panels)), sharex=True, squeeze=False)
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        for column in columns:
            points = [(row["step"], row[column.name]) for row in rows if column.name in row]
            if column.panel == panel and points:
                steps, values = zip(*points, strict=True)
                axis.plot(steps, values, marker="." if len(points) < 50 else None, label=column.name)
        axis.set(ylabel=panel)
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    axes[0, 0].set(title=title)
    axes[-1, 0].set(xlabel="optimiser steps")
    figure.tight_layout()
    figure.savefig(folder / "curve.png", dpi=110)
    plt.close(figure)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
