"""Small charts as inline SVG: no fonts, no scripts, colours from the page's CSS variables.

Every panel is `WIDTH` units wide and scales with its container. Texts are escaped here; `style` arguments are
CSS classes made by the caller from a fixed vocabulary. A mark's `<title>` is what hovering shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeGuard

WIDTH = 360
LEFT, RIGHT = 14, WIDTH - 14
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
        interval: ends of a confidence interval; None for none.
    """

    label: str
    style: str
    mean: float | None
    std: float | None = None
    points: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None


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
        body.append(f'<line class="track" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
        if not finite(mark.mean):
            continue
        parts = [f"<title>{escape(told(mark, digits))}</title>"]
        if mark.std:
            left, right = scale(mark.mean - mark.std, grid), scale(mark.mean + mark.std, grid)
            parts.append(f'<line class="whisker" x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>')
        if len(mark.points) > 1:
            parts += [f'<circle class="ring" cx="{scale(p, grid):.1f}" cy="{y}" r="3"/>' for p in mark.points]
        parts.append(f'<circle class="dot" cx="{scale(mark.mean, grid):.1f}" cy="{y}" r="5.5"/>')
        body.append(group(mark, parts))
    height = 68 + len(marks) * _ROW
    return panel(title, note, height, [*vertical_grid(grid, 42, height - 22), *body])


def bar_panel(title: str, note: str, marks: Sequence[Mark], digits: int) -> str:
    """Means as bars from zero, in either direction, with whiskers."""
    reach = [v for m in marks if finite(m.mean) for v in (m.mean - (m.std or 0), m.mean + (m.std or 0))]
    grid = ticks(min([0.0, *reach]), max([0.0, *reach]) if any(reach) else 1.0)
    zero = scale(0.0, grid)
    body = []
    for index, mark in enumerate(marks):
        y = 58 + index * _ROW
        body.append(_row_head(mark, y, digits))
        if not finite(mark.mean):
            continue
        end = scale(mark.mean, grid)
        parts = [
            f"<title>{escape(told(mark, digits))}</title>",
            f'<rect class="bar" x="{min(zero, end):.1f}" y="{y + 5}" '
            f'width="{max(abs(end - zero), 1):.1f}" height="11"/>',
        ]
        if mark.std:
            left, right = scale(mark.mean - mark.std, grid), scale(mark.mean + mark.std, grid)
            middle = y + 10.5
            parts.append(
                f'<line class="whisker ink" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
            )
        body.append(group(mark, parts))
    height = 58 + len(marks) * _ROW + 8
    return panel(title, note, height, [*vertical_grid(grid, 42, height - 22), *body])


def finite(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to draw."""
    return value is not None and math.isfinite(value)


def group(mark: Mark, parts: Sequence[str]) -> str:
    """The shapes of a mark, in its colour, with its value for scripts and tests."""
    return f'<g class="{mark.style}" data-value="{mark.mean!r}">{"".join(parts)}</g>'


def number(tick: float, grid: Sequence[float]) -> str:
    """A tick with as many decimals as the distance between ticks needs."""
    step = grid[1] - grid[0] if len(grid) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != round(step, digits + 1):
        digits += 1
    return f"{tick:,.{digits}f}"


def scale(value: float, grid: Sequence[float], left: float = LEFT) -> float:
    """Where a value stands between `left` and `RIGHT`, for an axis from the first tick to the last."""
    return left + (value - grid[0]) / (grid[-1] - grid[0]) * (RIGHT - left)


def vertical_grid(grid: Sequence[float], top: float, bottom: float, left: float = LEFT) -> list[str]:
    """Upright lines with their numbers under them."""
    parts = []
    for index, tick in enumerate(grid):
        x = scale(tick, grid, left)
        anchor = "start" if index == 0 and left == LEFT else "end" if index == len(grid) - 1 else "mid"
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="tick {anchor}" x="{x:.1f}" y="{bottom + 15}">{number(tick, grid)}</text>')
    return parts


def _row_head(mark: Mark, y: float, digits: int) -> str:
    if mark.mean is None:
        shown = "n/a"
    else:
        shown = f"{mark.mean:,.{digits}f}" + (f" ± {mark.std:,.{digits}f}" if mark.std is not None else "")
    return (
        f'<text class="label" x="{LEFT}" y="{y}"><title>{escape(mark.label)}</title>'
        f"{escape(shorten(mark.label, 34))}</text>"
        f'<text class="value end" x="{RIGHT}" y="{y}">{shown}</text>'
    )


def told(mark: Mark, digits: int) -> str:
    """A mark in words: "hybrid: 0.705 ± 0.003 over 3 seeds"."""
    if mark.mean is None:
        return f"{mark.label}: no value"
    text = f"{mark.label}: {mark.mean:.{digits}f}"
    if mark.std is not None:
        text += f" ± {mark.std:.{digits}f} over {len(mark.points)} seeds"
    if mark.interval is not None:
        low, high = mark.interval
        text += f", 95 % interval {low:.{digits}f} to {high:.{digits}f}"
    return text


def shorten(text: str, length: int) -> str:
    """The text, cut with an ellipsis where it is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def panel(title: str, note: str, height: float, body: Sequence[str], *, data: str = "") -> str:
    """One SVG with its title, the note under it and a text for screen readers; `data`: further attributes."""
    described = escape(f"{title}. {note}", quote=True)
    return (
        f'<svg class="panel" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{described}"{data}>'
        f'<text class="title" x="{LEFT}" y="16">{escape(shorten(title, 46))}</text>'
        f'<text class="note" x="{LEFT}" y="33">{escape(note)}</text>{"".join(body)}</svg>\n'
    )
