"""The languages of a comparison in the order of the page, and an experiment's value in one of them."""

from hybrid_retrieval.reporting.columns import Column, language_value
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.marks import seeds_mark
from hybrid_retrieval.reporting.svg import Mark


def in_order(comparison: Comparison) -> list[tuple[str, str]]:
    """The languages as (code, section), by name: those that were trained on before the others."""
    trained = {language for e in comparison.trained for language in e.train_languages}
    ordered = sorted(comparison.languages, key=lambda code: (code not in trained, language_name(code)))
    return [(code, "trained on" if code in trained else "never trained on") for code in ordered]


def language_mark(comparison: Comparison, experiment: Experiment, language: str, column: Column) -> Mark:
    """An experiment in one column for the queries of one language."""
    values = [language_value(run, language, column) for run in experiment.runs]
    return seeds_mark(comparison, experiment, values)
