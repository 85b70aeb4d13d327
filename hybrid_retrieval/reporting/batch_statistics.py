"""What the batches of a training run were made of, from the statistics that were logged while it trained.

Columns of train_metrics.csv, counted from the start of the run, so that the last value is the total:
`train/pairs/<query language>-<passage language>` counts pairs; every other column under `train/` whose name
speaks of batches or languages, such as `train/monolingual_batches`, is shown as it is.
"""

import math
import re
from collections.abc import Mapping
from html import escape

from hybrid_retrieval.reporting.charts import Training
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.heat_maps import heat_map
from hybrid_retrieval.reporting.panels import panel_grid

_PAIR = re.compile(r"^train/(?:language_)?pairs/(?P<query>[^/]+?)(?:->|-|/)(?P<passage>[^/]+)$")
_STATISTIC = re.compile(r"^train/.*(?:batch|language|mixed|lingual)")


def batch_statistics(comparison: Comparison, training: Training) -> str:
    """A table of the statistics, one column an experiment, and a map of language pairs; "" without any."""
    totals = {e.label: _totals(e, training) for e in comparison.trained}
    names = sorted({name for found in totals.values() for name in found if _is_statistic(name)})
    page = _table(totals, names) if names else ""
    return page + _pair_maps(totals)


def _totals(experiment: Experiment, training: Training) -> dict[str, float]:
    """The last logged value of every column, averaged over the seeds that logged it."""
    last: dict[str, list[float]] = {}
    for run in experiment.runs:
        for name, (_, values) in training.get(run, {}).items():
            last.setdefault(name, []).append(values[-1])
    return {name: math.fsum(values) / len(values) for name, values in last.items()}


def _is_statistic(name: str) -> bool:
    return bool(_STATISTIC.match(name)) and not _PAIR.match(name)


def _table(totals: Mapping[str, Mapping[str, float]], names: list[str]) -> str:
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in ("At the end of training", *totals))
    rows = []
    for name in names:
        shown = [found.get(name) for found in totals.values()]
        cells = "".join(f"<td>{'–' if v is None else _number(v)}</td>" for v in shown)
        title = name.removeprefix("train/").replace("_", " ").replace("/", ": ")
        rows.append(f"<tr><td>{escape(title)}</td>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n<p class='note-box'>Means over seeds.</p>\n"
    )


def _pair_maps(totals: Mapping[str, Mapping[str, float]]) -> str:
    panels = []
    for label, found in totals.items():
        counts = {
            (match["query"], match["passage"]): value
            for name, value in found.items()
            if (match := _PAIR.match(name)) is not None
        }
        whole = math.fsum(counts.values())
        if whole > 0:
            shares = {pair: count / whole for pair, count in counts.items()}
            languages = sorted({language for pair in counts for language in pair})
            note = "% of training pairs, query language by passage language"
            panels.append(heat_map(label, note, languages, shares, (0.0, max(shares.values()))))
    return panel_grid(panels)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) != 1 else f"{value:.3f}"
