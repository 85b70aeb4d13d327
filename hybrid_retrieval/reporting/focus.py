"""Which few experiments a crowded chart shows: the baseline, hybrid's other parent and the best hybrid."""

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.statistics import summary

SHOWN = 4


def contender(comparison: Comparison) -> tuple[Experiment | None, int]:
    """Hybrid where there is one, else the best trained strategy that was tested; and how many hybrids.

    Of several the best in the last of the main columns: on the pool, where there is one.
    """
    tested = {d.experiment for d in comparison.differences}
    hybrids = [e for e in comparison.trained if e.strategy == "hybrid"]
    candidates = hybrids or [e for e in comparison.trained if e.label in tested]
    scored = [(s.mean, e) for e in candidates if (s := summary(e, comparison.main[-1])) is not None]
    return (max(scored, key=lambda pair: pair[0])[1] if scored else None), len(hybrids)


def baseline_of(comparison: Comparison) -> Experiment | None:
    """The experiment most others were tested against, for the charts of differences."""
    names = [d.baseline for d in comparison.differences]
    name = max(dict.fromkeys(names), key=names.count) if names else "x_x_mono"
    return next((e for e in comparison.experiments if e.label == name), None)


def focus(comparison: Comparison) -> list[Experiment]:
    """All experiments if they are few; else the contender, the baseline, x_y, x_x_mono and untrained."""
    if len(comparison.experiments) <= SHOWN:
        return list(comparison.experiments)
    best, baseline = contender(comparison)[0], baseline_of(comparison)
    parents = [e for e in comparison.experiments if e.strategy in {"untrained", "x_x_mono", "x_y"}]
    wanted = {e.label: e for e in (best, baseline, *reversed(parents)) if e is not None}
    labels = list(wanted)[:SHOWN]
    return [e for e in comparison.experiments if e.label in labels]
