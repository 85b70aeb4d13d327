"""Charts with a line for each language, as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hybrid_retrieval.reporting.language_names import Language
from hybrid_retrieval.reporting.svg import (
    LEFT,
    RIGHT,
    Mark,
    finite,
    group,
    panel,
    scale,
    shorten,
    ticks,
    told,
    vertical_grid,
)

_NAMES, _LONGEST, _CHARACTER = 104, 168, 6.4
_LANE, _BETWEEN = 8, 11


@dataclass(frozen=True)
class Row:
    """One line of a row panel: a name, the section it stands in, a mark for each experiment.

    Attributes:
        name: a language, or any other text.
        section: heading above the first row of each section; "" for none.
        marks: each on a lane of its own where they have intervals.
        reference: where an upright stroke stands; None for none.
    """

    name: Language | str
    section: str
    marks: Sequence[Mark]
    reference: float | None = None


@dataclass(frozen=True)
class _Axis:
    """The horizontal axis: its ticks, where it begins, and the decimals of the values told."""

    grid: Sequence[float]
    left: float
    digits: int

    def x(self, value: float) -> float:
        return scale(value, self.grid, self.left)


def row_panel(
    title: str,
    note: str,
    rows: Sequence[Row],
    digits: int,
    *,
    from_zero: bool = False,
    zero_line: bool = False,
    lanes: bool = False,
) -> str:
    """One line a language with a dot for each experiment, under the headings of the sections.

    Args:
        title, note: shown above.
        rows: in their order; a heading stands where the section changes.
        digits: decimals of the values told.
        from_zero: whether the axis starts at 0.
        zero_line: whether 0 is on the axis and marked, for differences.
        lanes: whether every mark of a row has a lane of its own; where they have intervals.
    """
    values = [v for row in rows for v in _reach(row) if finite(v)]
    if from_zero or zero_line:
        values = [*values, 0.0] if values else values
    grid = ticks(min(values), max(values)) if values else [0.0, 1.0]
    longest = max((len(_plain(row.name)) for row in rows), default=0)
    left = min(max(_NAMES, LEFT + _CHARACTER * longest + 6), _LONGEST)
    axis = _Axis(grid, left, digits)
    body, y, previous = [], 46.0, ""
    for row in rows:
        if row.section != previous:
            y += 8
            body.append(f'<text class="section" x="{LEFT}" y="{y}">{escape(row.section)}</text>')
            y += 20
            previous = row.section
        span = (len(row.marks) - 1) * _LANE if lanes else 0
        middle = y + span / 2
        body.append(_name(row.name, middle + 4, left))
        body.append(f'<line class="track" x1="{left:.1f}" x2="{RIGHT}" y1="{middle}" y2="{middle}"/>')
        body += _reference(row, middle, axis)
        for lane, mark in enumerate(row.marks):
            body.append(_dot(row, mark, y + lane * _LANE * lanes, axis))
        y += span + _BETWEEN + 8
    height = y + 18
    upright = vertical_grid(grid, 42, height - 22, left)
    if zero_line:
        x = scale(0.0, grid, left)
        upright.append(f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="42" y2="{height - 22}"/>')
    return panel(title, note, height, [*upright, *body])


def _reach(row: Row) -> list[float | None]:
    reach: list[float | None] = [row.reference]
    for mark in row.marks:
        reach += [mark.mean, *(mark.interval or ())]
    return reach


def _plain(name: Language | str) -> str:
    return name if isinstance(name, str) else name.english


def _name(name: Language | str, y: float, left: float) -> str:
    text = shorten(_plain(name), int((left - LEFT) / _CHARACTER))
    hover = "" if isinstance(name, str) else f"<title>{escape(name.told)}</title>"
    return f'<text class="label" x="{LEFT}" y="{y}">{hover}{escape(text)}</text>'


def _reference(row: Row, y: float, axis: _Axis) -> list[str]:
    if not finite(row.reference):
        return []
    x = axis.x(row.reference)
    return [
        f"<g><title>{escape(_plain(row.name))}: {row.reference:.{axis.digits}f}</title>"
        f'<line class="reference" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{y + 8}"/></g>'
    ]


def _dot(row: Row, mark: Mark, y: float, axis: _Axis) -> str:
    if not finite(mark.mean):
        return ""
    parts = [f"<title>{escape(f'{_plain(row.name)}, {told(mark, axis.digits)}')}</title>"]
    if mark.interval is not None:
        low, high = (axis.x(end) for end in mark.interval)
        parts.append(f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>')
    radius = 3.5 if mark.interval is not None else 4.5
    parts.append(f'<circle class="dot" cx="{axis.x(mark.mean):.1f}" cy="{y}" r="{radius}"/>')
    return group(mark, parts)
