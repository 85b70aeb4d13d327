import re
from importlib import resources

import pytest

from hybrid_retrieval.reporting import palette
from hybrid_retrieval.reporting.comparison import Comparison

CSS = resources.files("hybrid_retrieval.reporting").joinpath("report.css").read_text("utf-8")


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """WCAG 2, section 1.4.3."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def variables(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[1] if dark else blocks[0]))


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_of_the_charts_stands_out_from_its_ground(dark: bool) -> None:
    """Graphics need 3:1 (WCAG 2, section 1.4.11)."""
    ramps = palette._DARK if dark else palette._LIGHT
    for ramp in ramps.values():
        for step in range(palette.STEPS + 1):
            colour = palette._on_ramp(ramp, step / palette.STEPS)
            assert contrast(colour, variables(dark)["surface"]) >= 3, colour


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("ink", ["ink", "faint", "accent", "good", "bad"])
def test_every_text_can_be_read(dark: bool, ink: str) -> None:
    """Text needs 4.5:1."""
    found = variables(dark)
    assert contrast(found[ink], found["page"]) >= 4.5
    assert contrast(found[ink], found["surface"]) >= 4.5


def test_the_contrast_of_black_and_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_each_experiment_has_its_own_colour_and_number(comparison: Comparison) -> None:
    styles = [palette.style(comparison, e) for e in comparison.experiments]
    rules = palette.css([comparison])

    assert len(set(styles)) == len(styles)
    assert [style.split()[-1] for style in styles] == [f"e{k}" for k in range(len(styles))]
    assert len({palette.colour(comparison, e) for e in comparison.experiments}) == len(styles)
    for e, style in zip(comparison.experiments, styles, strict=True):
        assert f".{style.split()[0]} {{ --c: {palette.colour(comparison, e)}; }}" in rules.split("@media")[0]
