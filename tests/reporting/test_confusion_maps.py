import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.confusion_maps import confusion_panels, cutoffs

from .fake_runs import LANGUAGES, SKILLS, compare_one, write_run


def test_maps_hold_the_shares_of_metrics_json(comparison: Comparison) -> None:
    page = confusion_panels(comparison)
    panels = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]

    assert cutoffs(comparison) == ["top@1", "top@10"]
    assert len(panels) == 2 * len(SKILLS)
    for panel, e in zip(panels, [*comparison.experiments] * 2, strict=True):
        cells = {g.attrib["data-pair"]: float(g.attrib["data-value"]) for g in panel.iter("g")}
        for x in LANGUAGES:
            assert sum(cells[f"{x} → {y}"] for y in LANGUAGES) == pytest.approx(1)
        expected = e.runs[0].metrics["confusion"]["top@1"]["el"]["en"]
        assert cells["el → en"] == pytest.approx(expected)


def test_runs_of_earlier_versions_have_no_maps(tmp_path: Path) -> None:
    assert confusion_panels(compare_one(write_run(tmp_path, "x_y", languages=("en",)))) == ""
