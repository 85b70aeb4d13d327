"""The charts by language: values with confidence intervals, differences to the baseline, seen and unseen."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, SETTING_WORDS, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import signed
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.focus import baseline_of, focus
from hybrid_retrieval.reporting.intervals import Interval, Key, Tables
from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.reporting.languages import in_order, language_mark
from hybrid_retrieval.reporting.palette import style
from hybrid_retrieval.reporting.panels import choice, legend, panel_grid
from hybrid_retrieval.reporting.svg import Mark
from hybrid_retrieval.reporting.svg_rows import Row, row_panel

_EXPLAINED = (
    "Dots are means over seeds; lines are 95 % bootstrap intervals over the questions of a language, which "
    "tell how far other questions would move the dot, and not how far other seeds would."
)
_CHANGES_EXPLAINED = (
    "A question's value less its value under the baseline, averaged over the questions of a language; an "
    "interval (95 % bootstrap over questions, paired) that leaves 0 out tells a difference in that language. "
    "The intervals are not corrected for the number of languages."
)


def language_panels(comparison: Comparison, tables: Tables) -> str:
    """Every language with a dot and an interval for each strategy in focus, trained languages first."""
    if len(comparison.languages) < 2:
        return ""
    chosen = focus(comparison)
    intervals = {code: tables.of_language(code) for code in comparison.languages}
    panels = []
    for column in tables.columns:
        rows = [
            Row(
                language(code),
                section,
                [_with_interval(comparison, e, code, column, intervals[code]) for e in chosen],
            )
            for code, section in in_order(comparison)
        ]
        if any(mark.mean is not None for row in rows for mark in row.marks):
            title, note = _heads(column)
            panels.append(row_panel(title, note, rows, column.digits, lanes=len(chosen) > 1))
    if not panels:
        return ""
    left_out = len(comparison.experiments) - len(chosen)
    more = f" {left_out} further experiments are in the tables below." if left_out else ""
    return (
        legend(comparison, chosen, toggles=True)
        + panel_grid(panels)
        + f"<p class='note-box'>{escape(_EXPLAINED + more)}</p>\n"
    )


def change_panels(comparison: Comparison, tables: Tables) -> str:
    """Differences to the baseline language by language; a list chooses the strategy."""
    baseline = baseline_of(comparison)
    if baseline is None or len(comparison.languages) < 2 or baseline.label not in tables.tables:
        return ""
    changes = {code: tables.changes(code, baseline) for code in comparison.languages}
    parts = []
    for e in comparison.experiments:
        if any((e.label, column) in found for found in changes.values() for column in tables.columns):
            parts.append((f"{e.label} against {baseline.label}", _changes(comparison, e, tables, changes)))
    if not parts:
        return ""
    contender = next((e for e in reversed(focus(comparison)) if e.label != baseline.label), None)
    shown = f"{contender.label} against {baseline.label}" if contender is not None else ""
    return (
        f"<h3>Differences to {escape(baseline.label)}, language by language</h3>\n"
        + choice("Strategy", parts, chosen=shown)
        + f"<p class='note-box'>{escape(_CHANGES_EXPLAINED)}</p>\n"
    )


def seen_unseen(comparison: Comparison, tables: Tables) -> str:
    """Mean over the languages an experiment was trained on beside that over the others; "" without others."""
    if not comparison.trained:
        return ""
    split = {e.label: _split(comparison, e) for e in comparison.trained}
    if not any(seen and unseen for seen, unseen in split.values()):
        return ""
    found = [tables.of({k: v[place] for k, v in split.items() if all(v)}) for place in (0, 1)]
    panels = []
    for column in tables.columns:
        rows = []
        for e in comparison.trained:
            marks = []
            for word, of in zip(("trained on", "never trained on"), found, strict=True):
                interval = of.get((e.label, column))
                if interval is not None:
                    marks.append(
                        _interval_mark(f"{word}", f"{style(comparison, e)} {_hollow(word)}", interval)
                    )
            if len(marks) == 2:
                rows.append(Row(e.label, "", marks))
        if rows:
            title, note = _heads(column)
            panels.append(
                row_panel(title.partition(" by language")[0], note, rows, column.digits, lanes=True)
            )
    if not panels:
        return ""
    sets = dict.fromkeys(tuple(map(tuple, v)) for v in split.values() if all(v))
    told = "; ".join(f"trained on {', '.join(seen)}; never on {', '.join(unseen)}" for seen, unseen in sets)
    note = (
        f"Filled: mean over the languages trained on; hollow: over those never trained on ({told}). "
        "Languages differ in difficulty, so compare how far strategies move each of the two, not the two "
        "with each other. Lines are 95 % bootstrap intervals over questions."
    )
    return f"{panel_grid(panels)}<p class='note-box'>{escape(note)}</p>\n"


def _hollow(word: str) -> str:
    return "hollow" if word.startswith("never") else ""


def _split(comparison: Comparison, e: Experiment) -> tuple[list[str], list[str]]:
    seen = [code for code in comparison.languages if code in e.train_languages]
    return seen, [code for code in comparison.languages if code not in seen]


def _with_interval(
    comparison: Comparison, e: Experiment, code: str, column: Column, intervals: dict[Key, Interval]
) -> Mark:
    """The value of the tables, with the interval around it."""
    mark, interval = language_mark(comparison, e, code, column), intervals.get((e.label, column))
    if interval is None or mark.mean is None:
        return mark
    shift = mark.mean - interval.mean
    return replace(mark, interval=(interval.low + shift, interval.high + shift))


def _interval_mark(label: str, css: str, interval: Interval) -> Mark:
    return Mark(label, css.strip(), interval.mean, interval=(interval.low, interval.high))


def _changes(
    comparison: Comparison, e: Experiment, tables: Tables, changes: dict[str, dict[Key, Interval]]
) -> str:
    panels, told = [], []
    for column in tables.columns:
        found = {code: of[e.label, column] for code, of in changes.items() if (e.label, column) in of}
        if not found:
            continue
        rows = [
            Row(language(code), section, [_interval_mark(e.label, style(comparison, e), found[code])])
            for code, section in in_order(comparison)
            if code in found
        ]
        title, note = _heads(column)
        digits = column.digits if column == RANK_DISTANCE_COLUMN else column.digits + 1
        panels.append(row_panel(title, f"difference; {note.partition(';')[0]}", rows, digits, zero_line=True))
        told.append(_counts(column, list(found.values())))
    return f"<p>{escape(' '.join(told))}</p>\n{panel_grid(panels)}"


def _counts(column: Column, found: Sequence[Interval]) -> str:
    lower = column.higher_is_better is False
    better = sum(i.high < 0 if lower else i.low > 0 for i in found)
    worse = sum(i.low > 0 if lower else i.high < 0 for i in found)
    mean = sum(i.mean for i in found) / len(found)
    words, unclear = f"{column.words[0].upper()}{column.words[1:]}", len(found) - better - worse
    return (
        f"{words}: better in {better}, worse in {worse}, unclear in {unclear} of {len(found)} languages "
        f"(mean {signed(column, mean)})."
    )


def _heads(column: Column) -> tuple[str, str]:
    if column == RANK_DISTANCE_COLUMN:
        return "Rank distance by language of the query", "lower is better; in ranks"
    title = f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(column.metric)} by language"
    return title, "higher is better; axis does not start at 0"
