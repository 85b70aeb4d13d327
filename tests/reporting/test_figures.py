import re
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN
from hybrid_retrieval.reporting.comparison import Comparison, compare_runs
from hybrid_retrieval.reporting.figures import (
    COLUMN,
    FULL,
    alpha_curve,
    bias_bars,
    confusion_maps,
    heat_map_difference,
    heat_maps,
    language_dots,
    save,
    write_figures,
)
from hybrid_retrieval.reporting.focus import focus
from hybrid_retrieval.reporting.heat_maps import pair_values
from hybrid_retrieval.reporting.intervals import shown_columns
from hybrid_retrieval.reporting.languages import in_order
from hybrid_retrieval.reporting.statistics import language_summary, summary

from .fake_runs import MIRACL, compare_one, write_run, write_study
from .test_alpha import BENT, sweep_of


def test_alpha_curve_draws_the_values_of_the_table_at_the_width_of_a_column(tmp_path: Path) -> None:
    comparison = sweep_of(tmp_path, BENT, (-0.01, 0.01))

    narrow, wide = alpha_curve(comparison), alpha_curve(comparison, width=FULL)

    assert narrow is not None
    assert wide is not None
    assert (narrow.get_figwidth(), wide.get_figwidth()) == (COLUMN, FULL)
    for figure in (narrow, wide):
        for axes, column in zip(figure.axes, shown_columns(comparison), strict=True):
            line = axes.lines[0]
            means = [summary(e, column).mean for e in comparison.experiments]  # type: ignore[union-attr]
            assert list(line.get_xdata()) == sorted(BENT)  # type: ignore[arg-type]
            assert list(line.get_ydata()) == pytest.approx(means)  # type: ignore[arg-type]


def test_heat_maps_draw_the_pairs(comparison: Comparison) -> None:
    figure = heat_maps(comparison)

    assert figure is not None
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    for image, e in zip(images, focus(comparison), strict=True):
        values = pair_values(e, comparison.languages, "map")
        expected = [[values[x, y] for y in comparison.languages] for x in comparison.languages]
        np.testing.assert_allclose(np.asarray(image), expected)


def test_difference_and_confusion(comparison: Comparison) -> None:
    ours = next(e for e in comparison.experiments if e.strategy == "x_y")
    theirs = next(e for e in comparison.experiments if e.strategy == "hybrid")
    figure, back = (
        heat_map_difference(comparison, ours=a, theirs=b) for a, b in ((ours, theirs), (theirs, ours))
    )
    assert figure is not None
    assert back is not None
    first, second = (np.asarray(of.axes[0].images[0].get_array()) for of in (figure, back))
    np.testing.assert_allclose(first, -second)
    assert {text.get_text() for text in figure.axes[0].texts} >= {f"{first[0, 1] * 100:+.1f}"}

    confusion = confusion_maps(comparison, top=1)
    assert confusion is not None
    for axes in confusion.axes[:-1]:
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()).sum(axis=1), 1)
    assert confusion_maps(comparison, top=7) is None


def test_bars_and_dots_draw_the_values_of_the_table(comparison: Comparison) -> None:
    bars, dots = bias_bars(comparison), language_dots(comparison)

    assert bars is not None
    assert dots is not None
    widths = [patch.get_width() for patch in bars.axes[0].patches]  # type: ignore[attr-defined]
    assert widths == pytest.approx([summary(e, RANK_DISTANCE_COLUMN).mean for e in comparison.experiments])  # type: ignore[union-attr]
    codes = [code for code, _ in in_order(comparison)]
    for axes, column in zip(dots.axes, shown_columns(comparison), strict=True):
        for drawn, e in zip(axes.containers, focus(comparison), strict=True):
            values = [language_summary(e, code, column).mean for code in codes]  # type: ignore[union-attr]
            assert list(drawn[0].get_xdata()) == pytest.approx(values)


def test_pdf_files_hold_their_fonts_as_outlines(
    comparison: Comparison, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is logged of how the fonts are cut."""
    caplog.set_level("INFO")
    figure = bias_bars(comparison)
    assert figure is not None

    content = save(figure, tmp_path / "bars.pdf").read_bytes()
    assert not caplog.records

    packed = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    width = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", content).group(1))  # type: ignore[union-attr]
    assert width == pytest.approx(COLUMN * 72)
    assert any(b" Tf" in zlib.decompress(part) for part in packed if part.startswith(b"x"))


def test_one_folder_a_benchmark_and_no_figure_of_nothing(tmp_path: Path) -> None:
    write_study(tmp_path / "w", ("x_x_mono", "hybrid"), seeds=1, questions=10, benchmark="a/b:c")
    write_study(
        tmp_path / "m",
        ("x_x_mono", "hybrid"),
        seeds=1,
        questions=10,
        benchmark="miracl",
        settings=MIRACL,
        bias=(),
    )

    files = write_figures(compare_runs([tmp_path]), tmp_path / "figures")

    assert all(file.is_file() for file in files)
    names = {str(file.relative_to(tmp_path / "figures").with_suffix("")) for file in files}
    assert names == {
        "miracl/language_dots", "a-b-c/heat_maps", "a-b-c/heat_map_difference", "a-b-c/confusion",
        "a-b-c/bias_bars", "a-b-c/language_dots",
    }  # fmt: skip


def test_any_name_can_be_drawn_and_settings_of_matplotlib_stay(tmp_path: Path) -> None:
    """Dollar signs would start a formula."""
    names = ("$\\frac{$", "ar", "en")
    write_study(tmp_path, ("x_x_mono", "hybrid"), seeds=1, languages=names, questions=8)
    before = dict(mpl.rcParams)

    assert write_figures([compare_one(tmp_path)], tmp_path / "figures")
    assert dict(mpl.rcParams) == before


def test_one_language_alone_has_bars_of_nothing(tmp_path: Path) -> None:
    comparison = compare_one(write_run(tmp_path, "x_x_mono", languages=("en",), bias=()))

    assert (alpha_curve(comparison), bias_bars(comparison), language_dots(comparison)) == (None, None, None)
