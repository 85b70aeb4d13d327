"""Colours of the strategies, on the page and in the figures; a ramp tells experiments of one strategy apart.

Okabe and Ito's palette, for readers with colour-vision deficiencies, darkened or lightened until each colour
has a contrast of 3:1 to the page. The ramp of hybrid runs from olive (small alpha, near the orange of x_y) to
a deep teal (large alpha, near the blue of x_x_mono).
"""

from collections.abc import Collection, Sequence

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment

STEPS = 10
_LIGHT = {
    "untrained": ("#767d86", "#3d434a"), "en_en": ("#a87400", "#5c4000"), "x_x": ("#b8578f", "#6b2c52"),
    "x_x_mono": ("#0072b2", "#003a5c"), "x_y": ("#d55e00", "#7a3600"),
    "hybrid": ("#8a8f00", "#00845f", "#0d4f5c"), "other": ("#5c4fa3", "#2f2759"),
}  # fmt: skip
_DARK = {
    "untrained": ("#9aa3ad", "#dfe3e8"), "en_en": ("#e6a91f", "#f8dfa6"), "x_x": ("#de8fbd", "#f6d9e9"),
    "x_x_mono": ("#5ab0ea", "#cfe7f9"), "x_y": ("#f08a45", "#fbd3b8"),
    "hybrid": ("#d3d655", "#2fc498", "#9fd3de"), "other": ("#a99cf0", "#ded8fb"),
}  # fmt: skip


def style(comparison: Comparison, experiment: Experiment) -> str:
    """CSS classes: colour by strategy and place among its experiments, dashes, the experiment's number."""
    name, step = _place(comparison, experiment)
    number = [e.label for e in comparison.experiments].index(experiment.label)
    dashes = _of_strategy(comparison, experiment).index(experiment.label) % 6
    return f"s-{name}-{step} d{dashes} e{number}"


def colour(comparison: Comparison, experiment: Experiment) -> str:
    """The colour on white paper, as #rrggbb."""
    name, step = _place(comparison, experiment)
    return _on_ramp(_LIGHT[name], step / STEPS)


def strategy_colour(strategy: str) -> str:
    """The colour on white paper of a strategy alone, as #rrggbb."""
    return _on_ramp(_LIGHT[strategy], 0.5 if strategy == "hybrid" else 0.0)


def css(comparisons: Collection[Comparison]) -> str:
    """A rule for each colour used, on a light page and on a dark one."""
    used = sorted({_place(c, e) for c in comparisons for e in c.experiments})
    light = "".join(f".s-{name}-{k} {{ --c: {_on_ramp(_LIGHT[name], k / STEPS)}; }}\n" for name, k in used)
    dark = "".join(f".s-{name}-{k} {{ --c: {_on_ramp(_DARK[name], k / STEPS)}; }}\n" for name, k in used)
    return f"{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _place(comparison: Comparison, experiment: Experiment) -> tuple[str, int]:
    same = _of_strategy(comparison, experiment)
    place = same.index(experiment.label) / max(len(same) - 1, 1)
    name = experiment.strategy if experiment.strategy in _LIGHT else "other"
    if name == "hybrid" and len(same) == 1:
        place = 0.5
    return name, round(place * STEPS)


def _of_strategy(comparison: Comparison, experiment: Experiment) -> list[str]:
    return [e.label for e in comparison.experiments if e.strategy == experiment.strategy]


def _on_ramp(ramp: Sequence[str], share: float) -> str:
    position = share * (len(ramp) - 1)
    lower = min(int(position), len(ramp) - 2)
    mix = position - lower
    first, second = ([int(ramp[i][k : k + 2], 16) for k in (1, 3, 5)] for i in (lower, lower + 1))
    return "#" + "".join(f"{round(a * (1 - mix) + b * mix):02x}" for a, b in zip(first, second, strict=True))
