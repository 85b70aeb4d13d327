import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.reporting.heat_maps import difference_map, heat_map
from hybrid_retrieval.reporting.stacked_bars import stacked_panel
from hybrid_retrieval.reporting.svg import Mark, bar_panel, dot_panel, number, ticks
from hybrid_retrieval.reporting.svg_lines import Line, line_panel
from hybrid_retrieval.reporting.svg_rows import Row, row_panel

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(finite, st.floats(0, 1e6))
def test_ticks_cover_the_range_at_even_distances(low: float, span: float) -> None:
    found = ticks(low, low + span)
    step = found[1] - found[0]

    slack = 1e-6 * max(step, abs(low), 1e-9)
    assert found[0] <= low + slack
    assert found[-1] >= low + span - slack
    assert 2 <= len(found) <= 7
    assert [b - a for a, b in pairwise(found)] == pytest.approx([step] * (len(found) - 1), abs=1e-6)


def test_tick_labels_show_the_distance_between_ticks() -> None:
    assert [number(t, [0, 0.025, 0.05]) for t in (0, 0.025, 0.05)] == ["0.000", "0.025", "0.050"]
    assert [number(t, [0, 500, 1000]) for t in (0, 500, 1000)] == ["0", "500", "1,000"]


LABEL = "<b>&\"'</b>"
MARKS = [
    Mark(LABEL, "s-hybrid v0", 0.7, 0.1, (0.6, 0.8)),
    Mark("alone", "s-x_y v0", 0.5, None, (0.5,)),
    Mark("absent", "s-x_y v0", None, None, ()),
    Mark("undefined", "s-x_y v0", float("nan"), None, ()),
]


@pytest.mark.parametrize(
    "panel",
    [
        dot_panel(LABEL, LABEL, MARKS, 3),
        bar_panel(LABEL, LABEL, MARKS, 1),
        row_panel(LABEL, LABEL, [Row(LABEL, "trained on", MARKS), Row("el", LABEL, MARKS, 0.4)], 3),
        row_panel(LABEL, LABEL, [Row("el", "", MARKS[2:], float("nan"))], 3, from_zero=True),
        stacked_panel(LABEL, LABEL, [LABEL, "b"], [(LABEL, (0.25, 0.75)), ("absent", (None, 0.5))]),
        line_panel(LABEL, LABEL, [Line(LABEL, "s-x_y v0", (1, 2, 3), (0.5, float("nan"), 0.7))], "step"),
        line_panel(LABEL, LABEL, [Line("point", "s-x_y v0", (1,), (0.5,))], "step"),
        heat_map(LABEL, LABEL, [LABEL, "en"], {(LABEL, "en"): 0.5}, (0.5, 0.5)),
        difference_map(LABEL, LABEL, [LABEL, "en"], {(LABEL, "en"): -0.5, ("en", "en"): 0.0}, 0.5),
        dot_panel("empty", "", [], 3),
    ],
)
def test_panels_are_well_formed_and_hold_numbers_only(panel: str) -> None:
    root = ET.fromstring(panel)

    assert root.tag == "svg"
    assert root.find(".//b") is None
    for element in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
            if name in element.attrib:
                assert -1 <= float(element.attrib[name]) < 10_000


def test_whisker_and_dot_stand_at_their_values() -> None:
    """On an axis from 0.5 to 0.8, the pixel positions are linear in the values."""
    root = ET.fromstring(dot_panel("t", "n", MARKS[:2], 3))
    dots = [float(c.attrib["cx"]) for c in root.iter("circle") if c.attrib["class"] == "dot"]
    rings = [float(c.attrib["cx"]) for c in root.iter("circle") if c.attrib["class"] == "ring"]
    (whisker,) = (e for e in root.iter("line") if e.attrib["class"] == "whisker")
    unit = (dots[0] - dots[1]) / 0.2

    assert rings == pytest.approx([dots[0] - 0.1 * unit, dots[0] + 0.1 * unit], abs=0.2)
    assert [float(whisker.attrib[k]) for k in ("x1", "x2")] == pytest.approx(rings, abs=0.2)
