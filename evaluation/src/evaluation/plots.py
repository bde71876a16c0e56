"""A report's plots. matplotlib is only needed where plots are drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.report import Report, Row
from reasonflux.errors import InvalidRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def figure(width: float = 7.0, height: float = 4.0) -> tuple[Any, "Axes"]:
    """A figure that no screen is needed for. Raises InvalidRequest without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidRequest("plots need matplotlib", hint="pip install matplotlib, or --no-plots") from error
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.add_subplot()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return drawn, axes


def save(drawn: Any, path: Path) -> None:
    """PNG without a date in it: the same report gives the same bytes."""
    drawn.savefig(path, dpi=130, metadata={"Software": None})


def draw(found: Report, beside: Path) -> tuple[Path, ...]:
    """The report's plots beside its file: success by group, and success within token budgets."""
    written = []
    groups = next((rows for rows in (found.by_depth, found.by_level, found.by_subject) if len(rows) > 1), ())
    if groups:
        written.append(_groups(found, groups, beside.with_suffix(".groups.png")))
    if found.within:
        written.append(_within(found, beside.with_suffix(".budget.png")))
    return tuple(written)


def _groups(found: Report, rows: Sequence[Row], path: Path) -> Path:
    drawn, axes = figure()
    places = range(len(rows))
    means = [100 * row.right.mean for row in rows]
    reach = [
        [max(0.0, mean - 100 * row.right.low) for mean, row in zip(means, rows, strict=True)],
        [max(0.0, 100 * row.right.high - mean) for mean, row in zip(means, rows, strict=True)],
    ]
    axes.bar(places, means, yerr=reach, capsize=4, color="#4878a8")
    axes.set_xticks(places, [f"{row.name}\nn={row.right.n}" for row in rows], fontsize=8)
    axes.set_ylim(0, 105)
    axes.set_ylabel("right, % (95% interval)")
    axes.set_title(found.run.spec.title)
    save(drawn, path)
    return path


def _within(found: Report, path: Path) -> Path:
    drawn, axes = figure()
    budgets = [one.tokens for one in found.within]
    axes.plot(budgets, [100 * one.right.mean for one in found.within], marker="o", color="#4878a8")
    axes.fill_between(
        budgets, [100 * one.right.low for one in found.within], [100 * one.right.high for one in found.within],
        alpha=0.2, color="#4878a8",
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets], rotation=45, fontsize=8)
    axes.set_ylim(0, 105)
    axes.set_xlabel("tokens spent on a problem, at most")
    axes.set_ylabel("solved, %")
    axes.set_title(found.run.spec.title)
    save(drawn, path)
    return path
