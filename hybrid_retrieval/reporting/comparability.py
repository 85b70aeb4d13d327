"""Which experiments of a report are not comparable, and why."""

from collections.abc import Sequence
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment

_BUDGET = {
    "backbone": "backbone",
    "data": "training data",
    "data_fingerprints": "version of the training data",
    "languages": "training languages",
    "steps": "training steps",
    "global_batch_size": "pairs a batch",
}
_SHOWN, _NAMED = 60, 3


def not_comparable(comparisons: Sequence[Comparison]) -> list[str]:
    """One sentence for each thing that keeps some of the experiments apart; none where all are comparable."""
    found = []
    if len(comparisons) > 1:
        names = dict.fromkeys(c.benchmark for c in comparisons)
        if len(names) > 1:
            found.append(
                f"Scores on different benchmarks ({', '.join(names)}) are not comparable with each other: "
                "each has its own queries and candidates. Compare rows of one benchmark."
            )
        found += comparisons[0].apart
        found += _missing(comparisons)
    sentences = dict.fromkeys(s for c in comparisons for s in _differing(c))
    return [*found, *sentences]


def box(comparisons: Sequence[Comparison]) -> str:
    """The sentences in a box, after those on runs without a result; "" without any."""
    apart, missing = not_comparable(comparisons), comparisons[0].missing
    found = [*missing, *apart]
    if not found:
        return ""
    title = " and ".join([*(["Missing"] if missing else []), *(["not comparable"] if apart else [])])
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in found)
    return f'<aside class="warning"><h2>{title[0].upper()}{title[1:]}</h2><ul>{items}</ul></aside>\n'


def _missing(comparisons: Sequence[Comparison]) -> list[str]:
    """Experiments that were not evaluated on every benchmark."""
    evaluated: dict[str, set[str]] = {}
    for c in comparisons:
        evaluated.setdefault(c.benchmark, set()).update(e.label for e in c.experiments)
    sentences = []
    for label in dict.fromkeys(e.label for c in comparisons for e in c.experiments):
        lacking = [benchmark for benchmark, labels in evaluated.items() if label not in labels]
        if lacking:
            sentences.append(f"{label} was not evaluated on {', '.join(lacking)}.")
    return sentences


def _differing(comparison: Comparison) -> list[str]:
    """What differs between trained experiments beside the strategy: data, languages, backbone, budget."""
    sentences = []
    trained = [e for e in comparison.trained if e.strategy != "en_en"]
    every = comparison.trained
    for key, words in _BUDGET.items():
        among = trained if key in {"languages", "data_fingerprints", "data"} else every
        groups: dict[str, list[Experiment]] = {}
        for e in among:
            groups.setdefault(_setting(e, key), []).append(e)
        if len(groups) > 1:
            told = "; ".join(
                f"{_short(setting)}: {_named([e.label for e in members])}"
                for setting, members in groups.items()
            )
            sentences.append(f"Trained with different {words}, so more than the strategy differs: {told}.")
    if any("Trained with different training data," in s for s in sentences):
        sentences = [s for s in sentences if "version of the training data" not in s]
    return sentences


def _named(labels: Sequence[str]) -> str:
    more = len(labels) - _NAMED
    return ", ".join(map(_short, labels[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _setting(experiment: Experiment, key: str) -> str:
    training = experiment.runs[0].training or {}
    found = training.get(key)
    return ", ".join(str(part) for part in found) if isinstance(found, list) else str(found)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
