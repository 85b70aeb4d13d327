import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.heat_maps import pair_values
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.training_curves import read_training, thinned

from .fake_runs import LANGUAGES, SKILLS, compare_one, write_run, write_study

VOID = {"meta", "br", "img", "link", "hr", "input"}
SELF_CLOSING_SVG = {"line", "circle", "rect", "polyline", "polygon"}


class Page(HTMLParser):
    """Collects tags, attributes and texts, and fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSING_SVG
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> Page:
    return Page(report([comparison]))


def test_page_loads_nothing_and_may_load_nothing(page: Page) -> None:
    assert not [t for t, _ in page.tags if t in {"link", "img", "iframe", "object", "embed"}]
    for _, attributes in page.tags:
        assert not {"src", "srcset", "data", "action"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    css = "".join(text for tag, text in page.texts if tag == "style")
    assert not re.search(r"url\(|@import|https?:", css)
    (policy,) = (a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_page_shows_every_strategy_language_and_section(page: Page, comparison: Comparison) -> None:
    shown = " ".join(text for _, text in page.texts)
    headings = [text for tag, text in page.texts if tag == "h2"]

    assert all(strategy in shown for strategy in SKILLS)
    assert all(language_name(language) in shown for language in LANGUAGES)
    assert headings == [
        "Results",
        "Beside the paper",
        "Alpha: where the trade-off bends",
        "Which differences are significant",
        "Retrieval by setting",
        "Language bias",
        "Language by language",
        "Languages seen and unseen in training",
        "Query language by document language",
        "In which languages the first candidates are",
        "Training",
        "Batches",
        "Cost",
        "How to repeat",
    ]
    links = [a["href"] for t, a in page.tags if t == "a"]
    assert links == [f"#{a['id']}" for t, a in page.tags if t == "section"]
    trained, every = len(SKILLS) - 1, len(SKILLS)
    alpha, settings, bias, languages, curves = 4 + 2, 3, 1, 4, 6
    changes, seen, maps, confusion = 4 * (every - 1), 4, 1 + every, 2 * every
    assert page.count("svg") == (
        alpha + settings + bias + languages + changes + seen + maps + confusion + curves + trained
    )
    assert len([a for t, a in page.tags if t == "svg" and a.get("aria-label")]) == page.count("svg")


def test_untrained_languages_are_set_apart(page: Page) -> None:
    texts = [text for tag, text in page.texts if tag == "text"]
    start = texts.index("never trained on")

    assert texts[start + 1] == "Greek"
    assert set(texts[texts.index("trained on") + 1 : start]) == {"Arabic", "Chinese", "English", "German"}


def test_heat_map_holds_every_pair_with_the_monolingual_diagonal(page: Page, comparison: Comparison) -> None:
    titles = {text for tag, text in page.texts if tag == "title"}
    for e in comparison.experiments:
        values = pair_values(e, comparison.languages, "map")
        assert len(values) == len(LANGUAGES) ** 2
        for (query, document), value in values.items():
            assert f"{query} → {document}: {value:.4f}" in titles
        diagonal = [run.metrics["per_language"]["el"]["monolingual"]["map"] for run in e.runs]
        assert values["el", "el"] == pytest.approx(sum(diagonal) / len(diagonal))


def test_language_pairs_are_shares_of_the_last_counts(page: Page) -> None:
    """The study counts pair k (of 12) k + 1 times a step."""
    texts = [text for tag, text in page.texts if tag == "title"]

    assert texts.count("zh → en: 0.1538") == len(SKILLS) - 1
    assert 12 / sum(range(1, 13)) == pytest.approx(0.1538, abs=5e-5)


def test_data_stay_text(hostile: Comparison) -> None:
    harmless, page = Page(report([hostile])), report([hostile])

    assert harmless.count("script") == 1
    assert harmless.count("img") == 0
    assert "alert(" not in "".join(text for tag, text in harmless.texts if tag in {"script", "style"})
    assert "&lt;script&gt;alert(3)&lt;/script&gt;" in page
    assert "alert('model')" in "".join(text for _, text in harmless.texts)


def test_same_input_gives_the_same_bytes(study: Path, comparison: Comparison) -> None:
    assert report([compare_one(study)]) == report([comparison])


def test_page_names_seeds_overrides_and_versions(page: Page) -> None:
    commands = [text for tag, text in page.texts if tag == "pre"]

    assert "hybrid-retrieval train --multirun sampler=hybrid data=world_facts seed=1,2,3" in commands
    assert any("torch: 2.13.0" in text for text in commands)


def test_page_without_training_records_leaves_the_sections_out(tmp_path: Path) -> None:
    write_study(tmp_path, ("untrained", "x_y"), seeds=1, curves=False)

    headings = [text for tag, text in Page(report([compare_one(tmp_path)])).texts if tag == "h2"]

    assert "Training" not in headings
    assert "Batches" not in headings
    assert "Cost" in headings
    assert "How to repeat" in headings


def test_the_untrained_backbone_alone_makes_a_page(tmp_path: Path) -> None:
    page = Page(report([compare_one(write_run(tmp_path / "run", "untrained"))]))

    assert "There is no trained strategy here to set against another one." in [t for _, t in page.texts]


def test_a_run_in_one_language_makes_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "x_x_mono", languages=("en",))

    assert Page(report([compare_one(tmp_path)])).count("svg") > 0


def test_training_columns_are_read_without_their_blanks(tmp_path: Path) -> None:
    file = tmp_path / "train_metrics.csv"
    file.write_text("step,epoch,train/loss,val/loss\n1,0,2.5,\n2,0,,1.5\n3,0,2.0,\n", encoding="utf-8")

    assert read_training(tmp_path) == {"train/loss": ((1, 3), (2.5, 2.0)), "val/loss": ((2,), (1.5,))}
    assert read_training(tmp_path / "absent") == {}

    file.write_text("step,train/loss\n1,2.5\n2,high\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train_metrics\.csv, line 3: not a row of numbers"):
        read_training(tmp_path)
    file.write_text("epoch,train/loss\n1,2.5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1: no column `step`"):
        read_training(tmp_path)


def test_thinning_keeps_the_mean_and_the_bounds() -> None:
    steps = tuple(float(k) for k in range(1, 1201))
    values = tuple(1 / s for s in steps)

    thin = thinned((steps, values), points=100)

    assert len(thin[0]) == len(thin[1]) == 100
    assert sum(thin[1]) / 100 == pytest.approx(sum(values) / 1200)
    assert thinned((steps[:100], values[:100]), points=100) == (steps[:100], values[:100])
