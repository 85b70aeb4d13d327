"""The comparison in three sentences of plain words."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import format_change, partner, verdict
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.runs import SETTINGS, UNTRAINED
from hybrid_retrieval.reporting.statistics import (
    RANK_DISTANCE,
    RANK_DISTANCE_COLUMN,
    Column,
    leaders,
    metric_name,
    summary,
)

WHERE = {
    "monolingual": "within one language",
    "cross_lingual": "across two languages",
    "multilingual": "in the pool of all languages",
}


def summary_sentences(comparison: Comparison) -> list[str]:
    """Who is best, what hybrid (or the best contender) changes, and how sure that is; three sentences."""
    return [_winners(comparison), _contender(comparison), _bias_and_certainty(comparison)]


def _winners(comparison: Comparison) -> str:
    parts = []
    for setting in SETTINGS:
        column = Column(setting, comparison.metric)
        winners = leaders(comparison.experiments, column)
        found = summary(winners[0], column) if winners else None
        if found is not None:
            parts.append(f"{column.format(found.mean)} {WHERE[setting]} ({join([e.label for e in winners])})")
    name = metric_name(comparison.metric)
    where = f"{comparison.benchmark} ({comparison.counts_words()})"
    return f"On {where} the best mean {name} is {join(parts) or 'undefined'}."


def _contender(comparison: Comparison) -> str:
    contender, chosen_of = _choose_contender(comparison)
    if contender is None:
        return "There is no trained strategy here to set against another one."
    tests = [d for d in comparison.differences if d.experiment == contender.label]
    if not tests:
        return (
            f"No difference of {contender.label} was tested, for want of per-query results or of a baseline."
        )
    baseline = tests[0].baseline
    changes = [
        f"{d.difference:+.3f} {WHERE[d.measure]} ({verdict(d)})"
        for d in tests
        if d.baseline == baseline and d.measure != RANK_DISTANCE
    ]
    which = f" (the best of {chosen_of} on the pool)" if chosen_of > 1 else ""
    name = metric_name(comparison.metric)
    return (
        f"Against {baseline}, {contender.label}{which} changes {name} by {join(changes)}"
        f"{_between_parents(comparison, contender)}."
    )


def _choose_contender(comparison: Comparison) -> tuple[Experiment | None, int]:
    """Hybrid where there is one, else the best trained strategy that was tested; the best one on the pool."""
    tested = {d.experiment for d in comparison.differences}
    trained = [e for e in comparison.experiments if e.strategy != UNTRAINED]
    hybrids = [e for e in trained if e.strategy == "hybrid"]
    candidates = hybrids or [e for e in trained if e.label in tested]
    column = Column("multilingual", comparison.metric)
    scored = [(s.mean, e) for e in candidates if (s := summary(e, column)) is not None]
    return (max(scored, key=lambda pair: pair[0])[1] if scored else None), len(hybrids)


def _between_parents(comparison: Comparison, hybrid: Experiment) -> str:
    parents = [partner(hybrid, comparison.experiments, name) for name in ("x_x_mono", "x_y")]
    if hybrid.strategy != "hybrid":
        return ""
    places: dict[str, list[str]] = {}
    for setting in SETTINGS:
        column = Column(setting, comparison.metric)
        means = [s.mean for e in (hybrid, *parents) if e is not None and (s := summary(e, column))]
        if len(means) < 3:
            return ""
        own, lower, upper = means[0], min(means[1:]), max(means[1:])
        place = "above both" if own > upper else "below both" if own < lower else "between them"
        places.setdefault(place, []).append(WHERE[setting])
    told = [f"{place} {join(where)}" for place, where in places.items()]
    where = f"{next(iter(places))} in all three settings" if len(places) == 1 else join(told)
    return f"; seen beside its parents x_x_mono and x_y, its mean lies {where}"


def _bias_and_certainty(comparison: Comparison) -> str:
    winner = next(iter(leaders(comparison.experiments, RANK_DISTANCE_COLUMN)), None)
    found = summary(winner, RANK_DISTANCE_COLUMN) if winner is not None else None
    if winner is None or found is None:
        return f"Rank distance is undefined on this benchmark; {_certainty(comparison)}."
    score = RANK_DISTANCE_COLUMN.format(found.mean)
    test = next(
        (d for d in comparison.differences if d.experiment == winner.label and d.metric == RANK_DISTANCE),
        None,
    )
    against = (
        f", {format_change(test, test.difference)} against {test.baseline}, {verdict(test)}" if test else ""
    )
    return (
        "Rank distance, which tells how far apart equally good answers in different languages land, is "
        f"lowest for {winner.label} ({score} ranks{against}); {_certainty(comparison)}."
    )


def _certainty(comparison: Comparison) -> str:
    trained = [e for e in comparison.experiments if e.strategy != UNTRAINED]
    if not trained:
        return "nothing was trained, so there is no spread over seeds"
    fewest = min(len(e.runs) for e in trained)
    if fewest == 1:
        return "with a single seed for some strategies the tests cover the choice of queries, not of seeds"
    spreads = [
        s.std
        for e in trained
        for setting in SETTINGS
        if (s := summary(e, Column(setting, comparison.metric))) is not None and s.std is not None
    ]
    return (
        f"every strategy was trained with at least {fewest} seeds, and the largest standard deviation over "
        f"them is {max(spreads):.3f} {metric_name(comparison.metric)}"
    )


def join(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
