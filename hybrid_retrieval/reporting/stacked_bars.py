"""Shares of a whole as stacked bars, as inline SVG."""

from collections.abc import Sequence
from html import escape

from hybrid_retrieval.reporting.svg import WIDTH, panel, shorten

_LEFT, _SPAN, _ROW = 14, WIDTH - 28, 40
_LEAST_LABELLED = 0.09

Stack = tuple[str, Sequence[float | None]]
"""Name of a row, and its shares; None where one is not known."""


def stacked_panel(title: str, note: str, parts: Sequence[str], rows: Sequence[Stack]) -> str:
    """One bar a row, from 0 to 100 %; part k has the CSS class `part k`.

    Args:
        title, note: shown above the bars.
        parts: names of the parts, in the order of the shares.
        rows: a row without all its shares is shown as "n/a".
    """
    body = []
    for index, (name, shares) in enumerate(rows):
        y = 56 + index * _ROW
        body.append(
            f'<text class="label" x="{_LEFT}" y="{y}"><title>{escape(name)}</title>'
            f"{escape(shorten(name, 44))}</text>"
        )
        known = [share for share in shares if share is not None]
        if len(known) < len(shares):
            body.append(f'<text class="value end" x="{WIDTH - _LEFT}" y="{y}">n/a</text>')
            continue
        start = float(_LEFT)
        for k, (part, share) in enumerate(zip(parts, known, strict=True)):
            width = max(share, 0.0) * _SPAN
            body.append(
                f'<g class="part{k}"><title>{escape(f"{name}, {part}: {share:.1%}")}</title>'
                f'<rect class="part" x="{start:.1f}" y="{y + 5}" width="{width:.1f}" height="17"/>'
            )
            if share >= _LEAST_LABELLED:
                body.append(
                    f'<text class="share mid" x="{start + width / 2:.1f}" y="{y + 17.5}">{share:.0%}</text>'
                )
            body.append("</g>")
            start += width
    return panel(title, note, 56 + len(rows) * _ROW, body)
