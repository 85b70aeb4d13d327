"""Figures of a comparison and of a batch plan, with matplotlib: for papers, READMEs and notebooks.

Each function takes a `Comparison` and gives a `matplotlib.figure.Figure`, or None where the comparison has
nothing of it; `batch_types` and `languages_that_meet` take the `BatchCounts` of a plan.
"""

from hybrid_retrieval.reporting.figures.alpha_figure import alpha_curve
from hybrid_retrieval.reporting.figures.bars import bias_bars
from hybrid_retrieval.reporting.figures.batch_figures import batch_types, languages_that_meet
from hybrid_retrieval.reporting.figures.canvas import COLUMN, FULL, save
from hybrid_retrieval.reporting.figures.dots import language_dots
from hybrid_retrieval.reporting.figures.files import FOLDER, write_figures
from hybrid_retrieval.reporting.figures.heat_figures import confusion_maps, heat_map_difference, heat_maps
from hybrid_retrieval.reporting.figures.picture import write_picture

__all__ = [
    "COLUMN", "FOLDER", "FULL", "alpha_curve", "batch_types", "bias_bars", "confusion_maps",
    "heat_map_difference", "heat_maps", "language_dots", "languages_that_meet", "save", "write_figures",
    "write_picture",
]  # fmt: skip
