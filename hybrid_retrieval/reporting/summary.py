"""The comparison in three sentences: which strategy, by how much, how sure; and what else is to tell."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import format_change, verdict
from hybrid_retrieval.reporting.differences import Difference, partner
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.focus import contender
from hybrid_retrieval.reporting.statistics import leaders, summary

WHERE = {
    "monolingual": "within one language",
    "cross_lingual": "across two languages",
    "multilingual": "in the pool of all languages",
}
_ALL = {1: "", 2: " in both settings", 3: " in all three settings"}
_NAMED = 2


def summary_sentences(comparison: Comparison) -> list[str]:
    """Three sentences: which strategy is best, by how much the contender differs, and how sure that is.

    The contender is the best hybrid, or the best other strategy that was tested.
    """
    return [_which(comparison), _by_how_much(comparison), _how_sure(comparison)]


def further_sentences(comparison: Comparison) -> list[str]:
    """What comes after the three: hybrid between its parents, and the language bias."""
    told = [_between_parents(comparison), _rank_distance(comparison), _other_bias(comparison)]
    return [sentence for sentence in told if sentence]


def _which(comparison: Comparison) -> str:
    parts = []
    for column in reversed(comparison.main):
        winners = leaders(comparison.experiments, column)
        found = summary(winners[0], column) if winners else None
        if found is not None:
            parts.append(f"{_named(winners)} {WHERE[column.setting]} ({column.format(found.mean)})")
    name = metric_name(comparison.metric)
    where = f"{comparison.title} ({comparison.counts_words()})"
    return f"On {where} the best mean {name} is that of {join(parts) or 'no strategy'}."


def _named(winners: Sequence[Experiment]) -> str:
    """The labels, or how many they are where they are many."""
    if len(winners) <= _NAMED + 1:
        return join([e.label for e in winners])
    return f"{', '.join(e.label for e in winners[:_NAMED])} and {len(winners) - _NAMED} others alike"


def _by_how_much(comparison: Comparison) -> str:
    best, chosen_of = contender(comparison)
    if best is None:
        return "There is no trained strategy here to set against another one."
    tests = _tests_of(comparison, best)
    if not tests:
        return f"No difference of {best.label} was tested, for want of per-query results or of a baseline."
    changes = [f"{d.difference:+.3f} {WHERE[d.column.setting]}" for d in tests if not d.column.is_bias]
    where = WHERE[comparison.main[-1].setting]
    which = f" (the best of {chosen_of} {where})" if chosen_of > 1 else ""
    name = metric_name(comparison.metric)
    distance = [d for d in tests if d.column == RANK_DISTANCE_COLUMN]
    bias = "".join(f", and the rank distance by {format_change(d, d.difference)}" for d in distance)
    return f"Against {tests[0].baseline}, {best.label}{which} changes {name} by {join(changes)}{bias}."


def _how_sure(comparison: Comparison) -> str:
    best, _ = contender(comparison)
    tests = _tests_of(comparison, best) if best is not None else []
    shown = [d for d in tests if not d.column.is_bias or d.column == RANK_DISTANCE_COLUMN]
    groups: dict[str, list[str]] = {}
    for d in shown:
        groups.setdefault(verdict(d), []).append(_place(d.column))
    told = join([f"{word} {join(names)}" for word, names in groups.items()])
    seeds = _seeds(comparison)
    if not told:
        return f"{seeds}."
    return f"By paired tests over {shown[0].units:,} questions that is {told}; {seeds[0].lower()}{seeds[1:]}."


def _place(column: Column) -> str:
    return f"in {column.words}" if column.is_bias else WHERE[column.setting]


def _seeds(comparison: Comparison) -> str:
    if not comparison.trained:
        return "Nothing was trained, so there is no spread over seeds"
    counts = [len(e.runs) for e in comparison.trained]
    if min(counts) == 1:
        which = "each strategy" if max(counts) == 1 else "some strategies"
        return f"With a single seed for {which} the tests cover the choice of queries, not of seeds"
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
    return f"Every strategy was trained with at least {min(counts)} seeds{largest}"


def _tests_of(comparison: Comparison, experiment: Experiment) -> list[Difference]:
    """Its tests against its first baseline."""
    tests = [d for d in comparison.differences if d.experiment == experiment.label]
    return [d for d in tests if d.baseline == tests[0].baseline]


def _between_parents(comparison: Comparison) -> str:
    hybrid, _ = contender(comparison)
    if hybrid is None or hybrid.strategy != "hybrid":
        return ""
    parents = [partner(hybrid, comparison.experiments, name) for name in ("x_x_mono", "x_y")]
    if hybrid in parents:
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
    names = join([e.label for e in parents if e is not None])
    return f"Seen beside its parents {names}, the mean of {hybrid.label} lies {where}."


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
        f"lowest for {_named(winners)} ({score} ranks{against})."
    )


def _other_bias(comparison: Comparison) -> str:
    """What the contender changes in the other measures that have a better direction."""
    best, _ = contender(comparison)
    tests = _tests_of(comparison, best) if best is not None else []
    tests = [d for d in tests if d.column.is_bias and d.column != RANK_DISTANCE_COLUMN]
    if best is None or not tests:
        return ""
    groups: dict[str, list[str]] = {}
    for d in tests:
        groups.setdefault(verdict(d), []).append(d.column.words)
    told = [f"{word} in {join(names)}" for word, names in groups.items()]
    return (
        f"By the other measures of language bias {best.label} is, against {tests[0].baseline}, {join(told)}."
    )


def join(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 1 else parts)
