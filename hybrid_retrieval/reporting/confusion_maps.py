"""The confusion between languages: in which languages the first candidates are, by language of the query."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.heat_maps import heat_map
from hybrid_retrieval.reporting.panels import choice, panel_grid

_EXPLAINED = (
    "Rows: language of the query; columns: language of the candidate; rows sum to 100 %. The framed diagonal "
    "is the query's own language: without a preference every row equals the languages' shares of the pool."
)


def confusion_panels(comparison: Comparison) -> str:
    """One map an experiment; a list chooses how many candidates count. "" where no run holds one."""
    parts = []
    for key in cutoffs(comparison):
        found = {e.label: confusion_of(e, key, comparison.languages) for e in comparison.experiments}
        highest = max((v for shares in found.values() for v in shares.values()), default=0.0)
        note = f"% of the top {key.partition('@')[2]}, from 0 (dark) to {highest * 100:.0f} (light)"
        maps = [
            heat_map(label, note, comparison.languages, shares, (0.0, highest))
            for label, shares in found.items()
            if shares
        ]
        if maps:
            parts.append((f"Top {key.partition('@')[2]}", panel_grid(maps)))
    if not parts:
        return ""
    last = parts[-1][0]
    return choice("Candidates", parts, chosen=last) + f"<p class='note-box'>{escape(_EXPLAINED)}</p>\n"


def cutoffs(comparison: Comparison) -> list[str]:
    """The keys, such as "top@10", that some run holds."""
    return list(dict.fromkeys(key for run in comparison.runs for key in _matrices(run.metrics)))


def confusion_of(experiment: Experiment, key: str, languages: Sequence[str]) -> dict[tuple[str, str], float]:
    """Mean over seeds of the share for (query language, candidate language); {} unless every run has it."""
    tables = [_matrices(run.metrics).get(key, {}) for run in experiment.runs]
    values = {}
    for query in languages:
        for document in languages:
            found = [table.get(query, {}).get(document) for table in tables]
            present = [v for v in found if v is not None and math.isfinite(v)]
            if present and len(present) == len(found):
                values[query, document] = math.fsum(present) / len(present)
    return values


def _matrices(
    metrics: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]],
) -> Mapping[str, Mapping[str, Mapping[str, float | None]]]:
    """`confusion` of metrics.json; files of earlier versions have none."""
    return metrics.get("confusion") or {}
