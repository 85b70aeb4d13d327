"""The comparison in a few sentences of plain words."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import format_change, verdict
from hybrid_retrieval.reporting.differences import Difference, partner
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.statistics import leaders, summary

WHERE = {
    "monolingual": "within one language",
    "cross_lingual": "across two languages",
    "multilingual": "in the pool of all languages",
}
_ALL = {1: "", 2: " in both settings", 3: " in all three settings"}


def summary_sentences(comparison: Comparison) -> list[str]:
    """Who is best, what hybrid (or the best contender) changes, its language bias, and how sure that is."""
    told = [_winners(comparison), _contender(comparison), _bias(comparison)]
    return [*(sentence for sentence in told if sentence), _certainty(comparison)]


def _winners(comparison: Comparison) -> str:
    parts = []
    for column in comparison.main:
        winners = leaders(comparison.experiments, column)
        found = summary(winners[0], column) if winners else None
        if found is not None:
            labels = join([e.label for e in winners])
            parts.append(f"{column.format(found.mean)} {WHERE[column.setting]} ({labels})")
    name = metric_name(comparison.metric)
    where = f"{comparison.benchmark} ({comparison.counts_words()})"
    return f"On {where} the best mean {name} is {join(parts) or 'undefined'}."


def _contender(comparison: Comparison) -> str:
    contender, chosen_of = _choose_contender(comparison)
    if contender is None:
        return "There is no trained strategy here to set against another one."
    tests = _tests_of(comparison, contender)
    if not tests:
        return (
            f"No difference of {contender.label} was tested, for want of per-query results or of a baseline."
        )
    changes = [
        f"{d.difference:+.3f} {WHERE[d.column.setting]} ({verdict(d)})" for d in tests if not d.column.is_bias
    ]
    where = {"monolingual": "within one language", "cross_lingual": "across two languages"}.get(
        _ranked_by(comparison), "on the pool"
    )
    which = f" (the best of {chosen_of} {where})" if chosen_of > 1 else ""
    name = metric_name(comparison.metric)
    return (
        f"Against {tests[0].baseline}, {contender.label}{which} changes {name} by {join(changes)}"
        f"{_between_parents(comparison, contender)}."
    )


def _tests_of(comparison: Comparison, experiment: Experiment) -> list[Difference]:
    """Its tests against its first baseline."""
    tests = [d for d in comparison.differences if d.experiment == experiment.label]
    return [d for d in tests if d.baseline == tests[0].baseline]


def _ranked_by(comparison: Comparison) -> str:
    """The setting that decides which contender is best: the pool, where there is one."""
    return comparison.main[-1].setting


def _choose_contender(comparison: Comparison) -> tuple[Experiment | None, int]:
    """Hybrid where there is one, else the best trained strategy that was tested; and how many there were."""
    tested = {d.experiment for d in comparison.differences}
    hybrids = [e for e in comparison.trained if e.strategy == "hybrid"]
    candidates = hybrids or [e for e in comparison.trained if e.label in tested]
    scored = [(s.mean, e) for e in candidates if (s := summary(e, comparison.main[-1])) is not None]
    return (max(scored, key=lambda pair: pair[0])[1] if scored else None), len(hybrids)


def _between_parents(comparison: Comparison, hybrid: Experiment) -> str:
    parents = [partner(hybrid, comparison.experiments, name) for name in ("x_x_mono", "x_y")]
    if hybrid.strategy != "hybrid":
        return ""
    places: dict[str, list[str]] = {}
    for column in comparison.main:
        means = [s.mean for e in (hybrid, *parents) if e is not None and (s := summary(e, column))]
        if len(means) < 3:
            return ""
        own, lower, upper = means[0], min(means[1:]), max(means[1:])
        place = "above both" if own > upper else "below both" if own < lower else "between them"
        places.setdefault(place, []).append(WHERE[column.setting])
    told = [f"{place} {join(where)}" for place, where in places.items()]
    where = f"{next(iter(places))}{_ALL[len(comparison.main)]}" if len(places) == 1 else join(told)
    return f"; seen beside its parents x_x_mono and x_y, its mean lies {where}"


def _bias(comparison: Comparison) -> str:
    """Rank distance, then what else the contender changes; "" where nothing of it was measured."""
    parts = [_rank_distance(comparison), _other_bias(comparison)]
    return " ".join(part for part in parts if part)


def _rank_distance(comparison: Comparison) -> str:
    winners = leaders(comparison.experiments, RANK_DISTANCE_COLUMN)
    found = summary(winners[0], RANK_DISTANCE_COLUMN) if winners else None
    if found is None:
        return ""
    score = RANK_DISTANCE_COLUMN.format(found.mean)
    tests = [d for e in winners for d in _tests_of(comparison, e) if d.column == RANK_DISTANCE_COLUMN]
    against = "".join(
        f", {format_change(d, d.difference)} against {d.baseline}, {verdict(d)}" for d in tests[:1]
    )
    return (
        "Rank distance, which tells how far apart equally good answers in different languages land, is "
        f"lowest for {join([e.label for e in winners])} ({score} ranks{against})."
    )


def _other_bias(comparison: Comparison) -> str:
    """What the contender changes in the other measures that have a better direction."""
    contender, _ = _choose_contender(comparison)
    tests = _tests_of(comparison, contender) if contender is not None else []
    tests = [d for d in tests if d.column.is_bias and d.column != RANK_DISTANCE_COLUMN]
    if contender is None or not tests:
        return ""
    groups: dict[str, list[str]] = {}
    for d in tests:
        groups.setdefault(verdict(d), []).append(d.column.words)
    told = [f"{word} in {join(names)}" for word, names in groups.items()]
    against = f"{contender.label} is, against {tests[0].baseline}"
    return f"By the other measures of language bias {against}, {join(told)}."


def _certainty(comparison: Comparison) -> str:
    if not comparison.trained:
        return "Nothing was trained, so there is no spread over seeds."
    counts = [len(e.runs) for e in comparison.trained]
    if min(counts) == 1:
        which = "each strategy" if max(counts) == 1 else "some strategies"
        return f"With a single seed for {which} the tests cover the choice of queries, not of seeds."
    spreads = [
        s.std
        for e in comparison.trained
        for column in comparison.main
        if (s := summary(e, column)) is not None and s.std is not None
    ]
    name = metric_name(comparison.metric)
    largest = (
        f", and the largest standard deviation over them is {max(spreads):.3f} {name}" if spreads else ""
    )
    return f"Every strategy was trained with at least {min(counts)} seeds{largest}."


def join(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
