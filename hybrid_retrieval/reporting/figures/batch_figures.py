"""What a batch plan would train on, at the size of a paper."""

from typing import TYPE_CHECKING

import numpy as np

from hybrid_retrieval.reporting.batches import BatchCounts
from hybrid_retrieval.reporting.figures.canvas import COLUMN, FULL, draw, legend_below
from hybrid_retrieval.reporting.figures.heat_figures import label_languages
from hybrid_retrieval.reporting.palette import strategy_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST_NAMED = 0.0005


def batch_types(counts: BatchCounts, *, width: float = FULL) -> "Figure":
    """The type of every batch, and the share of batches in one language so far beside its probability.

    Args:
        counts: of at least one step.
        width: in inches.
    """
    monolingual = counts.in_one_language
    steps = np.arange(1, len(monolingual) + 1)
    ways = [
        ("monolingual", monolingual, strategy_colour("x_x_mono")),
        ("cross-lingual", ~monolingual, strategy_colour("x_y")),
    ]

    def paint(figure: "Figure") -> None:
        strip, course = figure.subplots(2, 1, sharex=True, height_ratios=(1, 5))
        for name, chosen, colour in ways:
            strip.bar(steps[chosen], 1, width=1, color=colour, label=f"{name}, {int(chosen.sum())} batches")
        strip.set_yticks([])
        strip.spines[:].set_visible(False)
        course.plot(steps, np.cumsum(monolingual) / steps, color=ways[0][2], label="share so far")
        expected = np.cumsum(counts.monolingual_share) / steps
        course.plot(steps, expected, color="black", linestyle=(0, (4, 3)), label="expected share")
        course.set_ylim(-0.03, 1.03)
        course.set_xlim(0.5, len(steps) + 0.5)
        course.set_xlabel("step")
        course.set_ylabel("share of monolingual batches")
        course.legend(loc="best")
        legend_below(figure, strip, 2)

    return draw(width, max(width * 0.4, 2.2), paint)


def languages_that_meet(counts: BatchCounts, *, width: float = COLUMN) -> "Figure":
    """Per cent of the training pairs by query language and passage language.

    Args:
        counts: of at least one step.
        width: in inches.
    """
    shares = 100 * counts.pairs / counts.pairs.sum()

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="cividis", vmin=0)
        label_languages(axes, counts.languages)
        axes.set_xlabel("passage language")
        size = min(5.5, 60 / len(counts.languages))
        for (row, column), share in np.ndenumerate(shares):
            if share >= 100 * _LEAST_NAMED:
                ink = "black" if share > 0.6 * shares.max() else "white"
                axes.text(column, row, f"{share:.1f}", ha="center", va="center", fontsize=size, color=ink)
        figure.colorbar(image, ax=axes, shrink=0.8, label="% of pairs")

    return draw(width, width * 0.88, paint)
