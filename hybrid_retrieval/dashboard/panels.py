"""Panels of Weights & Biases over what runs log; runs are grouped and averaged as the run set says."""

from collections.abc import Mapping, Sequence
from typing import Literal

from wandb_workspaces.reports.v2 import interface as wr

from hybrid_retrieval.dashboard import names

Panel = (
    wr.BarPlot
    | wr.CustomChart
    | wr.LinePlot
    | wr.MediaBrowser
    | wr.ParallelCoordinatesPlot
    | wr.RunComparer
    | wr.ScatterPlot
    | wr.WeavePanelSummaryTable
)

_MOST_LINES, _MOST_BARS = 30, 60
_SPREAD: Literal["stddev"] = "stddev"


def bars(title: str, *metrics: str) -> wr.BarPlot:
    """A bar for each group and metric: the mean over the group's runs, with their standard deviation."""
    return wr.BarPlot(
        title=title,
        metrics=list(metrics),
        groupby_aggfunc="mean",
        groupby_rangefunc=_SPREAD,
        max_runs_to_show=_MOST_BARS,
        max_bars_to_show=_MOST_BARS,
    )


def lines(title: str, *metrics: str, x: str = names.STEP, log: bool = False) -> wr.LinePlot:
    """A line for each group and metric over the training steps: the mean, with the standard deviation."""
    return wr.LinePlot(
        title=title,
        x=x,
        y=list(metrics),
        log_y=log or None,
        title_x="step" if x == names.STEP else "seconds",
        groupby_aggfunc="mean",
        groupby_rangefunc=_SPREAD,
        max_runs_to_show=_MOST_LINES,
    )


def over_alpha(title: str, metric: str) -> wr.ScatterPlot:
    """A point for each group of hybrid runs, at its alpha; a schedule has no point."""
    return wr.ScatterPlot(title=title, x=wr.Config(names.ALPHA), y=wr.SummaryMetric(metric))


def against(title: str, x: str, y: str) -> wr.ScatterPlot:
    """A point for each group, at its last values of two metrics."""
    return wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y))


def parallel_axes(
    title: str, metrics: Mapping[str, str], configuration: Mapping[str, str] | None = None
) -> wr.ParallelCoordinatesPlot:
    """A line for each run through one axis a value.

    Args:
        title: of the panel.
        metrics: names of metrics, by what their axes are called.
        configuration: names of settings, likewise; these axes come first.
    """
    columns: list[tuple[wr.Config | wr.SummaryMetric, str]] = [
        *((wr.Config(name), label) for label, name in (configuration or {}).items()),
        *((wr.SummaryMetric(name), label) for label, name in metrics.items()),
    ]
    return wr.ParallelCoordinatesPlot(
        title=title,
        columns=[
            wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=label) for metric, label in columns
        ],
    )


def pictures(title: str, key: str) -> wr.MediaBrowser:
    """The pictures of the runs side by side."""
    return wr.MediaBrowser(title=title, media_keys=[key], num_columns=2)


def table(key: str) -> wr.WeavePanelSummaryTable:
    """The tables of the runs, one after another; it can be sorted, filtered and exported."""
    return wr.WeavePanelSummaryTable(table_name=key)


def table_bars(title: str, key: str, *, by: str, value: str) -> wr.CustomChart:
    """The mean of one column of the runs' tables for each value of another one.

    Drawn by W&B's own chart `wandb/bar/v0`.
    """
    return wr.CustomChart(
        query={"summaryTable": {"tableKey": key}},
        chart_name="wandb/bar/v0",
        chart_fields={"label": by, "value": value},
        chart_strings={"title": title},
    )


def differences() -> wr.RunComparer:
    """The settings in which the runs differ, and all that they logged."""
    return wr.RunComparer(diff_only=True)


def title_of(panel: Panel) -> str:
    """What tells a panel from the others of its section."""
    if isinstance(panel, wr.WeavePanelSummaryTable):
        return str(panel.table_name)
    if isinstance(panel, wr.CustomChart):
        return str(panel.chart_strings["title"])
    return str(getattr(panel, "title", None) or type(panel).__name__)


def lay_out(panels: Sequence[Panel], ids: Sequence[str], columns: int) -> None:
    """Give panels their ids and their places in rows of so many columns.

    Args:
        panels: in the order of reading.
        ids: one each. W&B's package draws them at random, so that two files could not be compared.
        columns: 1, 2 or 3.
    """
    width, height = 24 // columns, {1: 12, 2: 9, 3: 7}[columns]
    for i, (panel, id_) in enumerate(zip(panels, ids, strict=True)):
        panel._id = id_
        panel.layout = wr.Layout(x=i % columns * width, y=i // columns * height, w=width, h=height)
