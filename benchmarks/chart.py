"""Draws the runs as bars: how fast each side is, with what it keeps beside it."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from .report import LATEST, Report

CHART = LATEST.with_name("pipeline")
mpl.rcParams |= {"svg.hashsalt": "missions", "font.size": 10}
OURS, THEIRS, LIMIT = "#1f6f8b", "#b9c4cc", "#e3d9c6"


def draw(report: Report) -> Iterable[Path]:
    """Writes the chart as PNG and SVG beside the figures."""
    names = report.names
    figure = Figure(figsize=(11, 0.75 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    speeds = [report.per_second(name) for name in names]
    colors = [
        OURS if name in ("processor", "two-processors") else LIMIT if name == "bare-writes" else THEIRS
        for name in names
    ]
    axes.barh(range(len(names)), speeds, color=colors)
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 2, max(speeds) * 40)
    axes.set_yticks(range(len(names)), [report.rows(name)[0].title for name in names])
    for place, (name, speed) in enumerate(zip(names, speeds, strict=True)):
        values = [row.measured.per_second for row in report.rows(name)]
        axes.plot([min(values), max(values)], [place, place], color="black", linewidth=1)
        keeps = report.rows(name)[0].keeps.replace("; ", ";\n")
        axes.text(max(values) * 1.12, place, f"{speed:,.0f}/s   {keeps}", va="center", fontsize=8)
    axes.set_xlabel("events/s (log scale), median of the runs; the line spans lowest to highest")
    cores = report.settings.get("cores", "?")
    axes.set_title(f"One machine with {cores} cores for the side and every server", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, CHART)


def save(figure: Figure, chart: Path) -> Iterable[Path]:
    """Writes a figure as PNG and SVG, the same bytes for the same figure; `chart` is the path without an ending."""
    paths = [chart.with_suffix(suffix) for suffix in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
