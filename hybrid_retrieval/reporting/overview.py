"""Several benchmarks in one table: the main metric of each, an experiment a row."""

from collections.abc import Sequence
from dataclasses import replace

from hybrid_retrieval.reporting.cells import NONE, cell
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment, order_of
from hybrid_retrieval.reporting.statistics import best


def overview(comparisons: Sequence[Comparison]) -> tuple[list[str], list[tuple[str, list[tuple[str, bool]]]]]:
    """The headings, and for each experiment its label and its cells: (text, whether it is the best).

    A dash stands where an experiment was not evaluated on a benchmark.
    """
    heads = ["Strategy", *(f"{c.title}: {column.title}" for c in comparisons for column in c.main)]
    rows = []
    for label in (e.label for e in together(comparisons).experiments):
        cells = []
        for comparison in comparisons:
            own = next((e for e in comparison.experiments if e.label == label), None)
            for column in comparison.main:
                text = cell(own, column) if own is not None else NONE
                cells.append((text, label in best(comparison.experiments, column)))
        rows.append((label, cells))
    return heads, rows


def together(comparisons: Sequence[Comparison]) -> Comparison:
    """The first comparison with the experiments of all, each once, for what does not hang on a benchmark."""
    every: dict[str, Experiment] = {}
    for e in (e for c in comparisons for e in c.experiments):
        if e.label not in every or len(e.runs) > len(every[e.label].runs):
            every[e.label] = e
    return replace(comparisons[0], experiments=tuple(sorted(every.values(), key=order_of)))
