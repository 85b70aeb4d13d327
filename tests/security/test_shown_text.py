"""Texts of others stay texts: in the report, in LaTeX, and on the terminal."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.reporting.comparison import Comparison, compare_runs
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.latex import latex
from hybrid_retrieval.reporting.latex_languages import latex_languages
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.security.terminal import plain, plain_content
from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.conftest import Command
from tests.reporting.browser import Browser, find_browser
from tests.reporting.fake_runs import ALL_BIAS, write_run

RAN = "document.title='ran';"
SCRIPT = f"<script>{RAN}</script>"
CLOSING = f'"></script><script>{RAN}</script>'
IMAGE = f'\' onload="{RAN}"><img src=x onerror={RAN}>'
STYLE = f"</style></title></textarea>-->{SCRIPT}"
TEX = r"\input{/etc/passwd} $x_1^2$ & # % ~ \write18{ls}"
ESCAPES = "\x1b[31m\x1b]0;title\x07\x9b2J\r\u202e"


def study(folder: Path, first: str, second: str) -> list[Comparison]:
    """Runs with a text of others in every place that a report takes texts from."""
    for strategy in ("x_x_mono", "hybrid", "untrained"):
        run = write_run(
            folder / f"{strategy} {first.replace('/', '_')}", strategy, 1, languages=("de", "en", first),
            benchmark=second, model=first if strategy == "untrained" else None, bias=ALL_BIAS,
            config={"note": first, "sampler": {"name": second}, "loss": {first: second}},
        )  # fmt: skip
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        metrics["environment"] |= {"device": first, "platform": second}
        if metrics["run"]:
            metrics["run"] |= {"backbone": second, "data": [first, second], "adapter": {"name": first}}
            overrides = json.dumps([f"data.path={first}", f"+{second}=1"])
            (run / ".hydra" / "overrides.yaml").write_text(overrides, encoding="utf-8")
        if strategy == "hybrid":
            metrics["run"] |= {"strategy": first, "alpha": second}
        (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return list(compare_runs([folder]))


class Tags(HTMLParser):
    """Collects the elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found |= {(tag, "")} | {(tag, name) for name, _ in attrs}


def tags_of(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


@pytest.mark.parametrize(("first", "second"), [(SCRIPT, CLOSING), (IMAGE, STYLE), (CLOSING, IMAGE)])
def test_a_report_has_no_elements_of_others(tmp_path: Path, first: str, second: str) -> None:
    harmless = tags_of(report(study(tmp_path / "harmless", "first", "second")))
    page = report(study(tmp_path / "evil", first, second))
    evil = tags_of(page)

    assert evil.scripts == harmless.scripts == 1
    assert evil.found <= harmless.found
    assert not {name for _, name in evil.found if name.startswith("on")}
    text = page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#x27;", "'")
    assert first in text
    assert second in text


@pytest.mark.skipif(find_browser() is None, reason="needs chromium")
def test_no_script_of_others_runs_in_a_browser(tmp_path: Path) -> None:
    browser = Browser(find_browser() or "", tmp_path)
    for name, (first, second) in {"a": (SCRIPT, CLOSING), "b": (IMAGE, STYLE)}.items():
        page = report(study(tmp_path / name, first, second))
        found = browser.look(
            page,
            "return {title: document.title, scripts: document.scripts.length, images: document.images.length,"
            " text: document.body.innerText.includes(\"document.title='ran'\")};",
        )
        assert found["title"].startswith("Batch strategies compared on")
        assert (found["scripts"], found["images"]) == (2, 0)  # the report's own, and the one of `look`
        assert found["text"]  # it is shown


@pytest.mark.skipif(find_browser() is None, reason="needs chromium")
def test_the_browser_would_run_it(tmp_path: Path) -> None:
    page = f"<!doctype html><html><head><title>x</title></head><body>{SCRIPT}</body></html>"
    assert Browser(find_browser() or "", tmp_path).look(page, "return document.title") == "ran"


def test_latex_has_no_commands_of_others(tmp_path: Path) -> None:
    comparisons = study(tmp_path, TEX, "plain")
    for text in (latex(comparisons), latex_languages(comparisons)):
        assert "etc/passwd" in text
        assert not re.search(r"\\(input|write18)", text)
        for line in text.splitlines():
            for found in re.finditer(r"etc/passwd.{0,80}", line):
                bare = re.search(r"(?<!\\)[$#%~^]|(?<!\\)&(?=.*ls)", found[0].split("ls")[0])
                assert not bare, line


def test_markdown_has_no_html_of_others(tmp_path: Path) -> None:
    text = markdown(study(tmp_path, SCRIPT, CLOSING))
    assert "<script" not in text
    assert "&lt;script" in text


def test_a_terminal_gets_no_escapes_of_a_report(command: Command, tmp_path: Path) -> None:
    study(tmp_path, f"red{ESCAPES}", "plain")
    outcome = command("compare", str(tmp_path), "figures=false")

    assert outcome.status == 0, outcome
    assert not CONTROLS & set(outcome.out + outcome.err)
    assert "\\x1b" in outcome.out


CONTROLS = {chr(c) for c in (*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202D, 0x202E)}


def rows_with_escapes(folder: Path) -> Path:
    folder.mkdir()
    for code in ("de", "en"):
        rows = [
            {"id": f"{i}{ESCAPES}", "question": f"{code}: {ESCAPES} {i}?", "passage": f"{ESCAPES} {i}."}
            for i in range(40)
        ]
        (folder / f"{code}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (folder / "LICENSE").write_text(f"Free {ESCAPES}\n", encoding="utf-8")
    return folder


def test_a_terminal_gets_no_escapes_of_a_sample(command: Command, tmp_path: Path) -> None:
    data = rows_with_escapes(tmp_path / "data")
    shown = command("prepare", "--sample=2", "data=jsonl", f"data.path={data}", "backbone=tiny")
    mined = command(
        "mine", "data=jsonl", f"data.path={data}", "model=tiny", "sample=2", "mine.k=1",
        "mine.relative_margin=null",
        f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip

    for outcome in (shown, mined):
        assert outcome.status == 0, outcome
        assert "\\x1b" in outcome.out
        assert not CONTROLS & set(outcome.out + outcome.err)


def test_a_terminal_gets_no_escapes_of_a_message(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "en.jsonl").write_text(json.dumps({"id": ESCAPES, "question": 3, "passage": ESCAPES}) + "\n")
    for line in (
        ["prepare", "data=jsonl", f"data.path={folder}"],
        ["compare", f"{tmp_path}/no{ESCAPES}"],
        ["compare", f"metric={ESCAPES}"],
        [f"verb{ESCAPES}"],
    ):
        outcome = command(*line)
        assert outcome.status == 2
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert not CONTROLS & set(outcome.out + outcome.err), line


def test_the_state_of_a_run_is_plain(tmp_path: Path) -> None:
    RunRecord("0" * 12, f"label{ESCAPES}", "failed", f"reason{ESCAPES}").write(tmp_path)
    record = RunRecord.read(tmp_path)
    assert record is not None
    assert not CONTROLS & set(f"{record.label}{record.reason}")


def test_plain() -> None:
    assert plain("a\tb\nc Größe 数据 مرحبا 👩‍👩‍👧") == "a\tb\nc Größe 数据 مرحبا 👩‍👩‍👧"
    assert plain("\x1b[31m\r\x00\x7f\x9b\u202e") == r"\x1b[31m\r\x00\x7f\x9b\u202e"
    content: Any = {"\x1b": ["\x1b", 1, None, {"a": True}]}
    assert plain_content(content) == {r"\x1b": [r"\x1b", 1, None, {"a": True}]}
    for _ in range(10_000):  # deeper than Python calls, and 2^10,000 lists if copied one by one
        content = [content, content]
    assert len(plain_content(content)) == 2
    content.append(content)
    assert len(plain_content(content)) == 3
