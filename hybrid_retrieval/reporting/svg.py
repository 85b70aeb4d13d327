"""Small charts as inline SVG: no fonts, no scripts, colours from the page's CSS variables.

Every panel is `WIDTH` units wide and scales with its container. Texts are escaped here; `style` arguments are
CSS classes made by the caller from a fixed vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeGuard

WIDTH = 360
_LEFT, _RIGHT = 14, WIDTH - 14
_ROW = 38


@dataclass(frozen=True)
class Mark:
    """One row of a dot or bar panel.

    Attributes:
        label: name of the row.
        style: CSS class that sets the colour.
        mean: where the mark stands; None for a row without a value.
        std: half the length of the whisker; None for none.
        points: one small mark for each seed.
    """

    label: str
    style: str
    mean: float | None
    std: float | None
    points: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One line of a row panel: a name, the section it stands in, a mark for each experiment.

    Attributes:
        reference: where an upright stroke stands; None for none.
    """

    name: str
    section: str
    marks: Sequence[Mark]
    reference: float | None = None


@dataclass(frozen=True)
class Line:
    """One curve: name, CSS class, and its points in ascending x."""

    label: str
    style: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, a round step apart, that cover [low, high]; about `count` of them."""
    span = max(high - low, 1e-9 * max(abs(high), abs(low), 1.0))
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10, 20) if m * magnitude * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def dot_panel(title: str, note: str, marks: Sequence[Mark], digits: int) -> str:
    """Means as dots with whiskers and seeds as small rings; the axis need not start at zero."""
    reach = [
        v
        for m in marks
        if m.mean is not None
        for v in (*m.points, m.mean - (m.std or 0), m.mean + (m.std or 0))
        if math.isfinite(v)
    ]
    grid = ticks(min(reach), max(reach)) if reach else [0.0, 1.0]
    body = []
    for index, mark in enumerate(marks):
        y = 68 + index * _ROW
        body.append(_row_head(mark, y - 12, digits))
        body.append(f'<line class="track" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>')
        if mark.mean is None or not math.isfinite(mark.mean):
            continue
        x = _scale(mark.mean, grid)
        parts = [f"<title>{escape(told(mark, digits))}</title>"]
        if mark.std:
            left, right = _scale(mark.mean - mark.std, grid), _scale(mark.mean + mark.std, grid)
            parts.append(f'<line class="whisker" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>')
        if len(mark.points) > 1:
            parts += [
                f'<circle class="ring" cx="{_scale(p, grid):.1f}" cy="{y}" r="3"/>' for p in mark.points
            ]
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="5.5"/>')
        body.append(f'<g class="{mark.style}">{"".join(parts)}</g>')
    height = 68 + len(marks) * _ROW
    return panel(title, note, height, [*_vertical_grid(grid, 42, height - 22), *body])


def bar_panel(title: str, note: str, marks: Sequence[Mark], digits: int) -> str:
    """Means as bars from zero, in either direction, with whiskers."""
    reach = [v for m in marks if _finite(m.mean) for v in (m.mean - (m.std or 0), m.mean + (m.std or 0))]
    grid = ticks(min([0.0, *reach]), max([0.0, *reach]) if any(reach) else 1.0)
    zero = _scale(0.0, grid)
    body = []
    for index, mark in enumerate(marks):
        y = 58 + index * _ROW
        body.append(_row_head(mark, y, digits))
        if mark.mean is None or not math.isfinite(mark.mean):
            continue
        end = _scale(mark.mean, grid)
        parts = [
            f"<title>{escape(told(mark, digits))}</title>",
            f'<rect class="bar" x="{min(zero, end):.1f}" y="{y + 5}" '
            f'width="{max(abs(end - zero), 1):.1f}" height="11"/>',
        ]
        if mark.std:
            left, right = _scale(mark.mean - mark.std, grid), _scale(mark.mean + mark.std, grid)
            middle = y + 10.5
            parts.append(
                f'<line class="whisker ink" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
            )
        body.append(f'<g class="{mark.style}">{"".join(parts)}</g>')
    height = 58 + len(marks) * _ROW + 8
    return panel(title, note, height, [*_vertical_grid(grid, 42, height - 22), *body])


def row_panel(title: str, note: str, rows: Sequence[Row], digits: int, *, from_zero: bool = False) -> str:
    """One line a language with a dot for each experiment, under the headings of the sections."""
    values = [v for row in rows for v in (*(m.mean for m in row.marks), row.reference) if _finite(v)]
    grid = ticks(0.0 if from_zero else min(values), max(values)) if values else [0.0, 1.0]
    left = 104
    body, y, previous = [], 46.0, None
    for row in rows:
        if row.section != previous:
            y += 8
            body.append(f'<text class="section" x="{_LEFT}" y="{y}">{escape(row.section)}</text>')
            y += 20
            previous = row.section
        name = escape(shorten(row.name, 14))
        body.append(f'<text class="label" x="{_LEFT}" y="{y + 4}">{name}</text>')
        body.append(f'<line class="track" x1="{left}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>')
        if row.reference is not None and math.isfinite(row.reference):
            x = _scale(row.reference, grid, left)
            body.append(
                f"<g><title>{escape(row.name)}: {row.reference:.{digits}f}</title>"
                f'<line class="reference" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{y + 8}"/></g>'
            )
        for mark in row.marks:
            if mark.mean is not None and math.isfinite(mark.mean):
                x = _scale(mark.mean, grid, left)
                words = escape(f"{row.name}, {told(mark, digits)}")
                body.append(
                    f'<g class="{mark.style}"><title>{words}</title>'
                    f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="4.5"/></g>'
                )
        y += 19
    height = y + 18
    return panel(title, note, height, [*_vertical_grid(grid, 42, height - 22, left), *body])


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def line_panel(title: str, note: str, lines: Sequence[Line], x_label: str) -> str:
    """Curves over a common x axis."""
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    left, top, bottom = 52, 48, 202
    if not xs or not ys:
        return ""
    across, up = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    right_end = max(xs) if max(xs) > min(xs) else min(xs) + 1
    horizontal = [min(xs), right_end]
    body = []
    for tick in up:
        y = bottom - (tick - up[0]) / (up[-1] - up[0]) * (bottom - top)
        body.append(f'<line class="grid" x1="{left}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(f'<text class="tick end" x="{left - 6}" y="{y + 3.5:.1f}">{number(tick, up)}</text>')
    for tick in across:
        if horizontal[0] <= tick <= horizontal[1]:
            x = _scale(tick, horizontal, left)
            body.append(f'<text class="tick mid" x="{x:.1f}" y="{bottom + 16}">{number(tick, across)}</text>')
    body.append(
        f'<text class="tick mid" x="{(left + _RIGHT) / 2}" y="{bottom + 32}">{escape(x_label)}</text>'
    )
    for line in lines:
        points = [
            (_scale(x, horizontal, left), bottom - (y - up[0]) / (up[-1] - up[0]) * (bottom - top))
            for x, y in zip(line.x, line.y, strict=True)
            if math.isfinite(y)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dots = "".join(f'<circle class="dot small" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points)
        shown = dots if len(points) <= 20 else ""
        body.append(
            f'<g class="{line.style}"><title>{escape(line.label)}</title>'
            f'<polyline class="curve" points="{path}"/>{shown}</g>'
        )
    return panel(title, note, bottom + 40, body)


def number(tick: float, grid: Sequence[float]) -> str:
    """A tick with as many decimals as the distance between ticks needs."""
    step = grid[1] - grid[0] if len(grid) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != round(step, digits + 1):
        digits += 1
    return f"{tick:,.{digits}f}"


def _scale(value: float, grid: Sequence[float], left: float = _LEFT) -> float:
    return left + (value - grid[0]) / (grid[-1] - grid[0]) * (_RIGHT - left)


def _vertical_grid(grid: Sequence[float], top: float, bottom: float, left: float = _LEFT) -> list[str]:
    parts = []
    for index, tick in enumerate(grid):
        x = _scale(tick, grid, left)
        anchor = "start" if index == 0 and left == _LEFT else "end" if index == len(grid) - 1 else "mid"
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="tick {anchor}" x="{x:.1f}" y="{bottom + 15}">{number(tick, grid)}</text>')
    return parts


def _row_head(mark: Mark, y: float, digits: int) -> str:
    if mark.mean is None:
        shown = "n/a"
    else:
        shown = f"{mark.mean:,.{digits}f}" + (f" ± {mark.std:,.{digits}f}" if mark.std is not None else "")
    return (
        f'<text class="label" x="{_LEFT}" y="{y}"><title>{escape(mark.label)}</title>'
        f"{escape(shorten(mark.label, 34))}</text>"
        f'<text class="value end" x="{_RIGHT}" y="{y}">{shown}</text>'
    )


def told(mark: Mark, digits: int) -> str:
    """A mark in words: "hybrid: 0.705 ± 0.003 over 3 seeds"."""
    if mark.mean is None:
        return f"{mark.label}: no value"
    spread = "" if mark.std is None else f" ± {mark.std:.{digits}f} over {len(mark.points)} seeds"
    return f"{mark.label}: {mark.mean:.{digits}f}{spread}"


def shorten(text: str, length: int) -> str:
    """The text, cut with an ellipsis where it is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def panel(title: str, note: str, height: float, body: Sequence[str]) -> str:
    """One SVG with its title, the note under it and a text for screen readers."""
    described = escape(f"{title}. {note}", quote=True)
    return (
        f'<svg class="panel" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{described}">'
        f'<text class="title" x="{_LEFT}" y="16">{escape(shorten(title, 46))}</text>'
        f'<text class="note" x="{_LEFT}" y="33">{escape(note)}</text>{"".join(body)}</svg>\n'
    )
