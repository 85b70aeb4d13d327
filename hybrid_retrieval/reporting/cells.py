"""What all tables of a comparison share: cells and the words around them."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.columns import RANK_DISTANCE, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import resamples_for
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.paper import PaperRow, references
from hybrid_retrieval.reporting.statistics import Summary, summary

NONE = "–"
_SETTINGS_EXPLAINED = {
    "monolingual": "Mo: queries of a language against the candidates of that language",
    "cross_lingual": "Cr: against those of another language",
    "multilingual": "Mul: against the pool of all languages",
}


def shown(found: Summary | None, column: Column, *, spread: bool = True) -> str:
    """Mean, and ± the standard deviation over seeds where there are several: "0.705 ± 0.003"."""
    if found is None:
        return "n/a"
    text = column.format(found.mean)
    return f"{text} ± {column.format(found.std)}" if spread and found.std is not None else text


def cell(experiment: Experiment, column: Column, *, spread: bool = True) -> str:
    """The column of an experiment, as `shown`."""
    return shown(summary(experiment, column), column, spread=spread)


def paper_cell(row: PaperRow, column: Column) -> str:
    """The published number for the column, or a dash where none is published."""
    found = row.means.get(column)
    if found is None:
        return NONE
    return f"{found:.0f}" if column.metric == RANK_DISTANCE else f"{found:.3f}"


def seeds_words(experiment: Experiment) -> str:
    """How many seeds the row's mean is over; a dash for a model without training."""
    return str(len(experiment.seeds)) if experiment.seeds else NONE


def legend(comparison: Comparison) -> str:
    """What the columns of the main table mean, in a few sentences."""
    settings = [column.setting for column in comparison.main]
    told = [text for setting, text in _SETTINGS_EXPLAINED.items() if setting in settings]
    text = f"{told[0][:1].upper()}{told[0][1:]}" + "".join(f"; {part}" for part in told[1:])
    if settings[0] != "monolingual":
        text = text.replace(": against", ": queries of a language against", 1)
    lower = "; for rank distance, in ranks, lower is" if comparison.table[-1].metric == RANK_DISTANCE else ""
    text += (
        f". Means over languages, ± standard deviation over seeds; the best of our rows is marked. "
        f"Higher is better{lower}."
    )
    if comparison.paper:
        text += (
            f" Published rows: {references(comparison.paper)}; their backbones, training data and, for "
            "MIRACL, languages differ from ours."
        )
    return text


def bias_legend(columns: Sequence[Column]) -> list[str]:
    """One sentence a measure: its title, meaning and direction."""
    lines = []
    for column in columns:
        direction = column.direction or "describes, does not judge"
        lines.append(f"{column.title} ({direction}): {column.meaning}")
    return lines


def tests_explained(comparison: Comparison) -> str:
    """How the tests were made."""
    here, samples = len(comparison.differences), resamples_for(comparison.tests)
    family = (
        f"all {here} tests" if here == comparison.tests else f"all {comparison.tests} tests of this report"
    )
    name = "average precision" if comparison.metric == "map" else metric_name(comparison.metric)
    directed = any(d.column.is_bias for d in comparison.differences)
    bias = " and on its measures of language bias that have a better direction" if directed else ""
    return (
        f"Paired tests on the {name} of each query{bias}, averaged over seeds; a question and its "
        f"translations are one unit. Significant: p < 0.05 by the randomisation test (two-sided, {samples:,} "
        f"sign flips) after Holm's correction over {family}; the bootstrap test ({samples:,} draws of the "
        "units, corrected in the same way) is named where it disagrees. Within the spread of seeds: below "
        "two standard errors of the difference over seeds. Intervals: bootstrap over units, 95 %, not "
        "corrected. d_z (Cohen): mean of the units' differences over their standard deviation; below 0.2 "
        "very small, below 0.5 small, below 0.8 medium."
    )
