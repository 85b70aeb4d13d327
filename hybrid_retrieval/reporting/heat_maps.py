"""Query language by document language heat maps, as inline SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.svg import WIDTH, shorten

Values = Mapping[tuple[str, str], float]
Paint = Callable[[float], tuple[str, str]]

# matplotlib's cividis: perceptually even, and the same to readers with colour-vision deficiencies.
_CIVIDIS = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173",
    "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838",
)  # fmt: skip
_MARGIN_LEFT, _MARGIN_TOP = 40, 66


def pair_values(
    experiment: Experiment, languages: Sequence[str], metric: str
) -> dict[tuple[str, str], float]:
    """Mean over seeds of the metric for (query language, document language); the diagonal is monolingual."""
    values = {}
    for query in languages:
        for document in languages:
            found = [_pair(run.metrics, query, document, metric) for run in experiment.runs]
            present = [v for v in found if v is not None and math.isfinite(v)]
            if present and len(present) == len(found):
                values[query, document] = sum(present) / len(present)
    return values


def difference(ours: Values, theirs: Values) -> dict[tuple[str, str], float]:
    """Ours minus theirs, where both have a value."""
    return {pair: ours[pair] - theirs[pair] for pair in ours if pair in theirs}


def heat_map(
    title: str,
    note: str,
    languages: Sequence[str],
    values: Values,
    scale: tuple[float, float],
    *,
    data: str = "",
) -> str:
    """Values in hundredths, coloured from the scale's low end (dark) to its high end (light).

    `data`: further attributes of the svg, for scripts.
    """
    low, high = scale

    def paint(value: float) -> tuple[str, str]:
        share = (value - low) / (high - low) if high > low else 0.5
        share = min(max(share, 0.0), 1.0)
        return f"fill:{_cividis(share)}", "fill:#000" if share > 0.48 else "fill:#fff"

    return _map(title, note, languages, values, paint, data=data)


def difference_map(title: str, note: str, languages: Sequence[str], values: Values, limit: float) -> str:
    """Signed differences in hundredths: blue above zero, orange below, pale near it."""

    def paint(value: float) -> tuple[str, str]:
        strength = min(abs(value) / limit, 1.0) * 100 if limit > 0 else 0.0
        hue = "var(--above)" if value >= 0 else "var(--below)"
        colour = f"fill:color-mix(in oklab,{hue} {strength:.0f}%,var(--cell))"
        return colour, "fill:#fff" if strength > 60 else "fill:var(--ink)"

    return _map(title, note, languages, values, paint, signed=True, data=' data-difference=""')


def _map(
    title: str,
    note: str,
    languages: Sequence[str],
    values: Values,
    paint: Paint,
    *,
    signed: bool = False,
    data: str = "",
) -> str:
    side = (WIDTH - _MARGIN_LEFT - 12) / max(len(languages), 1)
    size = min(side * 0.42, 11)
    digits = 1 if signed and max((abs(v) for v in values.values()), default=0.0) < 0.1 else 0
    parts = [
        f'<text class="title" x="14" y="16"><title>{escape(title)}</title>'
        f"{escape(shorten(title, 46))}</text>",
        f'<text class="note" x="14" y="33">{escape(note)}</text>',
        f'<text class="tick mid" x="{WIDTH / 2 + 14}" y="{_MARGIN_TOP - 18}">document language</text>',
    ]
    for column, language in enumerate(languages):
        x, y = _MARGIN_LEFT + (column + 0.5) * side, _MARGIN_TOP + (column + 0.5) * side
        name = escape(shorten(language, 5))
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{_MARGIN_TOP - 5}">{name}</text>')
        parts.append(f'<text class="tick end" x="{_MARGIN_LEFT - 5}" y="{y + 3.5:.1f}">{name}</text>')
    for row, query in enumerate(languages):
        for column, document in enumerate(languages):
            value = values.get((query, document))
            x, y = _MARGIN_LEFT + column * side, _MARGIN_TOP + row * side
            told = f"{query} → {document}: " + (
                "no value" if value is None else f"{value:{'+' if signed else ''}.4f}"
            )
            fill, ink = ("fill:none", "") if value is None else paint(value)
            edge = ' class="diagonal"' if query == document else ""
            held = "" if value is None else f' data-value="{value!r}"'
            pair = escape(f"{query} → {document}", quote=True)
            parts.append(
                f'<g class="cell" data-pair="{pair}"{held}><title>{escape(told)}</title>'
                f'<rect{edge} x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" '
                f'width="{side - 1:.1f}" height="{side - 1:.1f}" style="{fill}"/>'
            )
            if value is not None:
                shown = hundredths(value, digits, signed=signed)
                parts.append(
                    f'<text x="{x + side / 2:.1f}" y="{y + side / 2 + size * 0.36:.1f}" text-anchor="middle" '
                    f'style="{ink};font-size:{size:.1f}px">{shown}</text>'
                )
            parts.append("</g>")
    middle = _MARGIN_TOP + len(languages) * side / 2
    parts.append(
        f'<text class="tick mid" transform="translate(12 {middle:.0f}) rotate(-90)">query language</text>'
    )
    height = _MARGIN_TOP + len(languages) * side + 6
    described = escape(f"{title}. {note}", quote=True)
    return (
        f'<svg class="panel map" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{described}"{data}>'
        f"{''.join(parts)}</svg>\n"
    )


def hundredths(value: float, digits: int, *, signed: bool) -> str:
    """The value times 100; with a sign where it is a difference, but none where it rounds to zero."""
    text = f"{value * 100:{'+' if signed else ''}.{digits}f}"
    return text if float(text) else text.lstrip("+-")


def _pair(metrics: Mapping[str, Any], query: str, document: str, metric: str) -> float | None:
    if query == document:
        found = metrics["per_language"].get(query, {}).get("monolingual", {}).get(metric)
    else:
        found = metrics["per_pair"].get(query, {}).get(document, {}).get(metric)
    return None if found is None else float(found)


def _cividis(share: float) -> str:
    position = share * (len(_CIVIDIS) - 1)
    lower = min(int(position), len(_CIVIDIS) - 2)
    mix = position - lower
    channels = [
        round(int(_CIVIDIS[lower][k : k + 2], 16) * (1 - mix) + int(_CIVIDIS[lower + 1][k : k + 2], 16) * mix)
        for k in (1, 3, 5)
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
