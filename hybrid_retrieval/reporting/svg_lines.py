"""Curves over a common axis, as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hybrid_retrieval.reporting.svg import RIGHT, finite, number, panel, ticks

_LEFT, _TOP, _BOTTOM = 52, 48, 202


@dataclass(frozen=True)
class Line:
    """One curve: name, CSS class, and its points in ascending x."""

    label: str
    style: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """One mark of a scatter or of a curve with spread.

    Attributes:
        label: what hovering shows, before the values.
        style: CSS class that sets the colour.
        x, y: its place.
        std: half the length of its whisker; None for none.
        seeds: y of each seed.
        end: whether it is another experiment than those of the curve, drawn as a square.
        caption: text beside the mark; "" for none.
    """

    label: str
    style: str
    x: float
    y: float
    std: float | None = None
    seeds: tuple[float, ...] = ()
    end: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Axes:
    """Two axes; the horizontal one runs from the least to the greatest value, the other from tick to tick."""

    across: Sequence[float]
    up: Sequence[float]
    low: float
    high: float

    @classmethod
    def over(cls, xs: Sequence[float], ys: Sequence[float], *, margin: float = 0.0) -> "Axes":
        """Axes that hold the values; `margin` is left free at both sides, as a share of the width."""
        low, high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
        room = (high - low) * margin
        return cls(ticks(low, high), ticks(min(ys), max(ys)), low - room, high + room)

    def x(self, value: float) -> float:
        """Horizontal place."""
        return _LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - _LEFT)

    def y(self, value: float) -> float:
        """Vertical place."""
        return _BOTTOM - (value - self.up[0]) / (self.up[-1] - self.up[0]) * (_BOTTOM - _TOP)

    def frame(self, x_label: str, at: Sequence[float] | None = None) -> list[str]:
        """Grid lines and numbers; `at`: where numbers stand on the horizontal axis, None for the ticks."""
        body = []
        for tick in self.up:
            y = self.y(tick)
            body.append(f'<line class="grid" x1="{_LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            body.append(
                f'<text class="tick end" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{number(tick, self.up)}</text>'
            )
        for tick in self.across if at is None else at:
            if self.low <= tick <= self.high:
                text = number(tick, self.across) if at is None else f"{tick:g}"
                body.append(f'<text class="tick mid" x="{self.x(tick):.1f}" y="{_BOTTOM + 16}">{text}</text>')
        middle = (_LEFT + RIGHT) / 2
        body.append(f'<text class="tick mid" x="{middle}" y="{_BOTTOM + 32}">{escape(x_label)}</text>')
        return body


def line_panel(title: str, note: str, lines: Sequence[Line], x_label: str) -> str:
    """Curves over a common x axis; the page's script tells the values under the pointer."""
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    if not xs or not ys:
        return ""
    axes = Axes.over(xs, ys)
    body = axes.frame(x_label)
    for line in lines:
        points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        places = [(axes.x(x), axes.y(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dots = "".join(f'<circle class="dot small" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in places)
        told = " ".join(f"{x:g},{y:.4g}" for x, y in points)
        body.append(
            f'<g class="line {line.style}" data-points="{told}"><title>{escape(line.label)}</title>'
            f'<polyline class="curve" points="{path}"/>{dots if len(points) <= 20 else ""}</g>'
        )
    return panel(title, note, _BOTTOM + 40, body)


def spread_panel(title: str, note: str, points: Sequence[Point], x_label: str, digits: int) -> str:
    """A curve through points in ascending x, with a band of one standard deviation and rings for the seeds.

    Points with `end` stand beside the curve.
    """
    if not points:
        return ""
    reach = [v for p in points for v in (*p.seeds, p.y - (p.std or 0), p.y + (p.std or 0)) if finite(v)]
    axes = Axes.over([p.x for p in points], reach, margin=0.06)
    curve = [p for p in points if not p.end]
    body = axes.frame(x_label, at=sorted({p.x for p in points}) if len({p.x for p in points}) <= 7 else None)
    if len(curve) > 1:
        if any(p.std for p in curve):
            over = [f"{axes.x(p.x):.1f},{axes.y(p.y + (p.std or 0)):.1f}" for p in curve]
            under = [f"{axes.x(p.x):.1f},{axes.y(p.y - (p.std or 0)):.1f}" for p in reversed(curve)]
            body.append(f'<g class="course"><polygon class="band" points="{" ".join((*over, *under))}"/></g>')
        path = " ".join(f"{axes.x(p.x):.1f},{axes.y(p.y):.1f}" for p in curve)
        body.append(f'<g class="course"><polyline class="curve" points="{path}"/></g>')
    body += [_mark(axes, p, digits) for p in points]
    return panel(title, note, _BOTTOM + 40, body)


def scatter_panel(
    title: str,
    note: str,
    points: Sequence[Point],
    x_label: str,
    digits: tuple[int, int],
    *,
    rising: bool = False,
) -> str:
    """Points joined in the order given, each with its caption: one measure against another.

    `rising`: whether the curve goes up to the right; the captions stand clear of it at its other side.
    """
    if not points:
        return ""
    axes = Axes.over([p.x for p in points], [p.y for p in points], margin=0.1)
    curve = [p for p in points if not p.end]
    body = axes.frame(x_label)
    path = " ".join(f"{axes.x(p.x):.1f},{axes.y(p.y):.1f}" for p in curve)
    body.append(f'<g class="course"><polyline class="curve" points="{path}"/></g>')
    for p in points:
        x, y = axes.x(p.x), axes.y(p.y)
        anchor, shift = ("end", -8) if rising else ("start", 8)
        body.append(
            f'<g class="{p.style}" data-x="{p.x!r}" data-value="{p.y!r}"><title>'
            f"{escape(p.label)}: {p.x:.{digits[0]}f}; {p.y:.{digits[1]}f}</title>{_shape(p, x, y)}"
            f'<text class="tick {anchor}" x="{x + shift:.1f}" y="{y - 6:.1f}">{escape(p.caption)}</text></g>'
        )
    return panel(title, note, _BOTTOM + 40, body)


def _mark(axes: Axes, p: Point, digits: int) -> str:
    x, y = axes.x(p.x), axes.y(p.y)
    told = f"{p.label}: {p.y:.{digits}f}"
    parts = []
    if p.std is not None:
        told += f" ± {p.std:.{digits}f} over {len(p.seeds)} seeds"
        if p.end:
            high, low = axes.y(p.y + p.std), axes.y(p.y - p.std)
            parts.append(f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
    if len(p.seeds) > 1:
        parts += [f'<circle class="ring" cx="{x:.1f}" cy="{axes.y(s):.1f}" r="2.6"/>' for s in p.seeds]
    return (
        f'<g class="{p.style}" data-x="{p.x!r}" data-value="{p.y!r}"><title>{escape(told)}</title>'
        f"{''.join(parts)}{_shape(p, x, y)}</g>"
    )


def _shape(p: Point, x: float, y: float) -> str:
    if p.end:
        return f'<rect class="dot" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
