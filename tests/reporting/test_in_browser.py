"""The page as a reader has it: looked at in a real browser, which runs its script."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from hybrid_retrieval.reporting.comparison import Comparison, compare_runs
from hybrid_retrieval.reporting.heat_maps import pair_values
from hybrid_retrieval.reporting.html import report

from .browser import Browser, find_browser
from .fake_runs import ALL_BIAS, MIRACL, compare_one, write_run, write_study

LANGUAGES = ("ar", "de", "el", "en", "es", "fr", "hi", "ja", "ru", "th", "tr", "vi", "zh")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    path = find_browser()
    if path is None:
        pytest.skip("needs Chromium (apt-get install chromium fonts-noto-core fonts-noto-cjk)")
    return Browser(path, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Thirteen languages, an alpha sweep, every measure of language bias."""
    folder = tmp_path_factory.mktemp("wide")
    for strategy, alpha in (("x_x_mono", None), ("x_y", None), *(("hybrid", a / 4) for a in range(5))):
        for seed in (1, 2):
            write_run(
                folder / f"{strategy}-{alpha}-{seed}", strategy, seed, alpha=alpha, languages=LANGUAGES,
                questions=20, bias=ALL_BIAS,
            )  # fmt: skip
    return compare_one(folder)


@pytest.fixture(scope="module")
def page(wide: Comparison) -> str:
    return report([wide])


def test_clicks_sort_hide_and_choose(browser: Browser, page: str, wide: Comparison) -> None:
    found = browser.look(
        page,
        """
        const table = document.querySelector("table.sortable"), column = 3;
        const values = () => [...table.tBodies[0].rows].map(r => Number(r.cells[column].dataset.value));
        const button = table.tHead.rows[0].cells[column].querySelector("button");
        button.click(); const down = values();
        button.click(); const up = values();
        const sorted = table.tHead.rows[0].cells[column].getAttribute("aria-sort");

        const difference = document.querySelector(".difference");
        const [ours, theirs] = difference.querySelectorAll("select");
        ours.value = "x_y"; ours.dispatchEvent(new frame.Event("change"));
        theirs.value = "x_x_mono"; theirs.dispatchEvent(new frame.Event("change"));
        const cells = Object.fromEntries([...difference.querySelectorAll("g.cell")].map(
            g => [g.dataset.pair,
                  [Number(g.dataset.value), g.querySelector("text").textContent, g.dataset.tip]]));

        const toggle = document.querySelector("ul.toggles button");
        const mark = "." + [...toggle.parentNode.classList].find(n => /^e\\d/.test(n));
        const marks = [...toggle.closest("section").querySelectorAll("svg " + mark)];
        const shown = () => marks.filter(m => frame.getComputedStyle(m).display !== "none").length;
        const before = shown(); toggle.click(); const after = shown();
        const pressed = toggle.getAttribute("aria-pressed"); toggle.click();

        const blocks = [...document.querySelectorAll(".choices")].map(
            c => [...c.querySelectorAll(":scope > .choice")].filter(b => b.offsetHeight > 0).length);
        const titles = document.querySelectorAll("svg title").length;
        return {down, up, sorted, cells, before, after, pressed, again: shown(), blocks, titles};
        """,
    )

    means = [np.mean([r.metrics["multilingual"]["map"] for r in e.runs]) for e in wide.experiments]
    assert found["down"] == pytest.approx(sorted(means, reverse=True))
    assert found["up"] == pytest.approx(sorted(means))
    assert found["sorted"] == "ascending"
    ours, theirs = (
        pair_values(next(e for e in wide.experiments if e.strategy == s), wide.languages, "map")
        for s in ("x_y", "x_x_mono")
    )
    assert len(found["cells"]) == len(LANGUAGES) ** 2
    for (x, y), value in ours.items():
        drawn, text, tip = found["cells"][f"{x} → {y}"]
        change = value - theirs[x, y]
        assert drawn == pytest.approx(change)
        assert float(text) == pytest.approx(100 * change, abs=0.501)
        assert tip == f"{x} → {y}: {change:+.4f}" or round(change, 4) == 0
    assert found["before"] == found["again"] > 0
    assert (found["after"], found["pressed"]) == (0, "false")
    assert found["blocks"] == [1] * len(found["blocks"])
    assert len(found["blocks"]) == 2
    assert found["titles"] == 0


def test_the_pointer_finds_values(browser: Browser, page: str) -> None:
    found = browser.look(
        page,
        """
        const tip = document.getElementById("tip");
        const move = (element, x, y) => element.dispatchEvent(
            new frame.PointerEvent("pointermove", {bubbles: true, clientX: x, clientY: y}));
        const cell = document.querySelector("g.cell");
        move(cell.querySelector("rect"), 10, 10);
        const map = [tip.textContent, cell.dataset.tip, tip.hidden];
        const line = document.querySelector("g.line");
        line.scrollIntoView();
        const svg = line.closest("svg"), point = line.querySelector("polyline").points[5];
        const place = new frame.DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
        move(svg, place.x, place.y);
        const curve = [tip.textContent, line.dataset.points.split(" ")[5]];
        const box = tip.getBoundingClientRect();
        move(document.body, 0, 0);
        return {map, curve, inside: box.right <= frame.innerWidth && box.left >= 0, hidden: tip.hidden};
        """,
    )

    assert found["map"][0] == found["map"][1] != ""
    assert found["map"][2] is False
    step, value = found["curve"][1].split(",")
    assert found["curve"][0].endswith(f"step {step}: {value}")
    assert "seed" in found["curve"][0]
    assert found["inside"]
    assert found["hidden"]


LAYOUT = """
    const root = document.documentElement;
    const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg, pre")
        && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
    const small = [...document.querySelectorAll("svg.panel text")].map(
        t => t.getBoundingClientRect().height).filter(h => h > 0 && h < 7).length;
    const cut = [];
    for (const svg of document.querySelectorAll("svg.panel")) {
        const box = svg.getBoundingClientRect();
        for (const text of svg.querySelectorAll("text")) {
            const own = text.getBoundingClientRect();
            if (own.width && (own.left < box.left - 1 || own.right > box.right + 1))
                cut.push(text.textContent);
        }
    }
    const channel = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = e => { for (; e; e = e.parentElement) {
        const colour = frame.getComputedStyle(e).backgroundColor;
        if (colour !== "rgba(0, 0, 0, 0)") return numbers(colour); } return [255, 255, 255]; };
    const faint = [];
    const texts = "h1,h2,h3,p,li,th,td,.spread,.unsure,.yes,.worse,a,summary,text.label,text.tick";
    const read = [...document.querySelectorAll(texts)].filter(
        e => e.textContent.trim() && !e.closest(".away,.off"));
    for (const e of read) {
        const style = frame.getComputedStyle(e);
        const colour = e.namespaceURI.endsWith("svg") ? style.fill : style.color;
        const [a, b] = [light(numbers(colour)), light(ground(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) faint.push([e.tagName, e.className.baseVal ?? e.className, ratio]);
    }
    const body = light(numbers(frame.getComputedStyle(document.body).backgroundColor));
    const [scroll, client] = [root.scrollWidth, root.clientWidth];
    return {scroll, client, wide, small, cut, faint, body, read: read.length};
"""


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_a_page_fits_its_window_and_can_be_read(browser: Browser, page: str, width: int, dark: bool) -> None:
    """On a phone and on a desk: nothing sticks out, no chart's text is cut, texts have a contrast of 4.5."""
    found = browser.look(page, LAYOUT, width=width, dark=dark)

    assert found["wide"] == []
    assert found["scroll"] == found["client"] == width
    assert found["small"] == 0
    assert found["cut"] == []
    assert (found["body"] < 0.05) == dark
    assert found["faint"] == []
    assert found["read"] > 500


def test_long_names_fit_a_phone(browser: Browser, hostile: Comparison) -> None:
    found = browser.look(report([hostile]), LAYOUT, width=390)

    assert found["scroll"] == 390
    assert found["cut"] == []


def test_the_screen_shows_a_page(browser: Browser, page: str) -> None:
    dark = imread(browser.picture(page, dark=True))

    assert dark.shape[:2] == (900, 1280)
    assert dark[..., :3].mean() < 0.3
    assert len(np.unique((dark[..., :3] * 255).astype(int).reshape(-1, 3), axis=0)) > 100


def test_tabs_choose_a_benchmark_and_paper_has_all(browser: Browser, tmp_path: Path) -> None:
    write_study(tmp_path / "w", ("x_x_mono", "hybrid"), seeds=1, questions=12)
    write_study(
        tmp_path / "m",
        ("x_x_mono", "hybrid"),
        seeds=1,
        questions=12,
        benchmark="miracl",
        settings=MIRACL,
        bias=(),
    )
    page = report(compare_runs([tmp_path]))

    found = browser.look(
        page,
        """
        const tabs = [...document.querySelectorAll("[role=tab]")];
        const seen = () => [...document.querySelectorAll("article")].map(a => a.offsetHeight > 0);
        const first = seen();
        tabs[1].click(); const second = seen();
        tabs[1].dispatchEvent(new frame.KeyboardEvent("keydown", {key: "ArrowRight"}));
        return {first, second, third: seen(), labels: tabs.map(t => t.textContent)};
        """,
    )

    assert found["labels"] == ["miracl", "world_facts", "Training"]
    assert found["first"] == [True, False, False]
    assert found["second"] == [False, True, False]
    assert found["third"] == [False, False, True]
    file = browser.printed(page)
    assert file.read_bytes().startswith(b"%PDF")
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", str(file), "-"], capture_output=True, text=True, check=True
        ).stdout
        for words in ("miracl", "world_facts", "Training loss", "How to repeat", "hybrid-retrieval train"):
            assert words in text
        assert "Rank distance" in text


def test_data_do_not_run(browser: Browser, hostile: Comparison) -> None:
    found = browser.look(
        report([hostile]),
        "return {scripts: document.scripts.length, images: document.images.length, title: document.title};",
    )

    assert found["scripts"] == 2  # the page's and the test's
    assert found["images"] == 0
    assert "<script>" in found["title"]


def test_without_scripts_everything_is_there_to_read(browser: Browser, page: str) -> None:
    start, end = page.index("<script>\n"), page.index("</script>")

    found = browser.look(
        page[:start] + page[end + len("</script>") :],
        """
        const hidden = [...document.querySelectorAll("section *")].filter(
            e => frame.getComputedStyle(e).display === "none" && !e.closest("svg, details")).length;
        return {hidden, titles: document.querySelectorAll("svg title").length};
        """,
    )

    assert found["hidden"] == 0
    assert found["titles"] > 1000
