"""What the charts of the page share: grids of panels, legends, and blocks of which one is chosen."""

from collections.abc import Sequence
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.reporting.palette import style


def panel_grid(panels: Sequence[str]) -> str:
    """Panels side by side, as many as the page is wide, but four or two of four; "" without panels."""
    shown = [panel for panel in panels if panel]
    css = "panels four" if len(shown) == 4 else "panels"
    return f'<div class="{css}">{"".join(shown)}</div>\n' if shown else ""


def legend(comparison: Comparison, experiments: Sequence[Experiment], *, toggles: bool = False) -> str:
    """Colour swatches with the experiments' names; with `toggles` the script lets them hide their marks."""
    items = [
        f'<li class="{style(comparison, e)}"><span class="swatch"></span>{escape(e.label)}</li>'
        for e in experiments
    ]
    css = "legend toggles" if toggles else "legend"
    return f'<ul class="{css}">{"".join(items)}</ul>\n'


def choice(label: str, parts: Sequence[tuple[str, str]], *, chosen: str = "") -> str:
    """Blocks of which a list chooses one; without scripts all are shown, each under its name.

    Args:
        label: of the list.
        parts: (name, content).
        chosen: name of the one shown at first; the first part where there is no such name.
    """
    shown = [(name, content) for name, content in parts if content]
    if len(shown) < 2:
        return "".join(content for _, content in shown)
    blocks = "".join(
        f'<div class="choice" data-name="{escape(name, quote=True)}"><h4>{escape(name)}</h4>\n'
        f"{content}</div>\n"
        for name, content in shown
    )
    return (
        f'<div class="choices" data-label="{escape(label, quote=True)}" '
        f'data-chosen="{escape(chosen, quote=True)}">\n{blocks}</div>\n'
    )


def languages_key(codes: Sequence[str]) -> str:
    """The codes with their names, in English and in the language itself."""
    items = []
    for code in codes:
        names = language(code)
        own = (
            f' <bdi lang="{escape(code, quote=True)}" dir="{names.direction}">{escape(names.own)}</bdi>'
            if names.own
            else ""
        )
        english = "" if names.english == code else f" {escape(names.english)}"
        items.append(f"<li><b>{escape(code)}</b>{english}{own}</li>")
    return f'<ul class="languages">{"".join(items)}</ul>\n'
