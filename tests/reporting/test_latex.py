import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.latex import escape, latex
from hybrid_retrieval.reporting.latex_languages import latex_languages

from .fake_runs import ALL_BIAS, SKILLS, compare_one, write_study


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("full")
    write_study(folder, seeds=2, bias=ALL_BIAS, benchmark="xquad_r", questions=30, curves=False)
    return compare_one(folder, paper=True)


def rows_of(table: str) -> list[list[str]]:
    """Cells of the rows of a tabular; a \\multicolumn counts as the cells it spans."""
    body = table[table.index("\\toprule") : table.index("\\bottomrule")]
    rows = []
    for line in body.splitlines():
        if line.endswith(r" \\"):
            cells: list[str] = []
            for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\")):
                span = re.match(r"\s*\\multicolumn\{(\d+)\}", cell)
                cells += [cell.strip()] + [""] * (int(span[1]) - 1 if span else 0)
            rows.append(cells)
    return rows


def tables_of(text: str) -> list[str]:
    return re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL)


def assert_well_formed(text: str) -> None:
    """Braces, environments and formulas close, and every row of a table has the table's columns."""
    bare = re.sub(r"\\[\\{}$&%#_]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    without_formulas = re.sub(r"\$[^$]*\$", "", bare[bare.index("\n") :])
    assert not re.search(r"[_^#~<>|\"]", re.sub(r"\\label\{[^}]*\}", "", without_formulas))
    assert "%" not in without_formulas
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") > 0
    for table in tables_of(text):
        columns = re.search(r"\\begin\{tabular\}\{(l r*)\}", table.replace("{lr", "{l r"))
        assert columns is not None
        assert {len(row) for row in rows_of(table)} == {len(columns[1].replace(" ", ""))}


def test_tables_are_well_formed(full: Comparison, hostile: Comparison) -> None:
    assert_well_formed(latex([full]))
    assert_well_formed(latex([hostile]))
    assert_well_formed(latex([full, hostile]))
    assert len(tables_of(latex([full]))) == 3


def test_special_characters_are_escaped() -> None:
    assert escape("100 % of $x_1 & #2 {a}~b^c \\d") == (
        r"100 \% of \$x\_1 \& \#2 \{a\}\textasciitilde{}b\textasciicircum{}c \textbackslash{}d"
    )
    assert escape('a<b>c|d"e\n±') == r"a\textless{}b\textgreater{}c\textbar{}d\textquotedbl{}e $\pm$"


def test_best_is_bold_and_spread_is_small(full: Comparison) -> None:
    main = tables_of(latex([full]))[0]
    means = {e.label: [run.metrics["multilingual"]["map"] for run in e.runs] for e in full.experiments}
    top = max(means, key=lambda label: sum(means[label]) / len(means[label]))
    cells = {row[0]: row[3] for row in rows_of(main)}

    assert cells[escape(top)].startswith(rf"\textbf{{{sum(means[top]) / 2:.3f}}}")
    assert all(r"{\scriptsize$\pm$0.0" in cells[escape(s)] for s in SKILLS if s != "untrained")
    assert r"\pm" not in cells["untrained"]
    assert sum(r"\textbf" in row[3] for row in rows_of(main)) >= 1


def test_marks_are_the_significant_differences(full: Comparison) -> None:
    """An asterisk is a difference to x_x_mono, a dagger one to x_y; the caption says so."""
    text = latex([full])
    main, bias, first = tables_of(text)
    caption = r"$\ast$ x\_x\_mono, $\dagger$ x\_y"
    assert caption in main
    assert "Not tested: R@1, R@10." in main
    assert "Not tested: Language preference rate, Same-language preference." in bias
    assert caption not in first
    found = {row[0]: row for row in rows_of(main)}
    for d in full.differences:
        if d.column in full.main:
            cell = found[escape(d.experiment)][1 + full.main.index(d.column)]
            mark = {"x_x_mono": r"\ast", "x_y": r"\dagger"}[d.baseline]
            assert (mark in cell) == d.significant
            assert (f"({mark})" in cell) == (d.significant and d.within_seed_spread)


def test_published_rows_stand_below_in_italics(full: Comparison) -> None:
    main = tables_of(latex([full]))[0]

    assert r"\textit{XLM-R hybrid} & 0.798 & 0.705 & 0.593 & -- & -- & -- & -- & 287 & -- \\" in main
    assert main.index(r"\textit{XLM-R hybrid}") > main.index("\nhybrid & ")
    assert "arXiv 2408.10536" in main


def test_languages_stand_in_the_paper_s_layout(full: Comparison, hostile: Comparison) -> None:
    text = latex_languages([full, hostile])
    tables = re.findall(r"\\begin\{table\*\}.*?\\end\{table\*\}", text, re.DOTALL)
    assert len(tables) == 2 * 4
    for table in tables:
        assert_well_formed("%\n" + table.replace("table*", "table"))
    rows = {row[0]: row for row in rows_of(tables[2])}
    assert rows["Strategy"] == ["Strategy", *full.languages, "mean"]
    for e in full.experiments:
        means = [
            sum(run.metrics["per_language"][code]["multilingual"]["map"] for run in e.runs) / len(e.runs)
            for code in full.languages
        ]
        shown = [re.sub(r"\\textbf\{(.*)\}", r"\1", cell) for cell in rows[escape(e.label)][1:-1]]
        assert shown == [f"{mean:.3f}".removeprefix("0") for mean in means]
    assert rows[r"\textit{XLM-R hybrid}"][1:] == [".542", ".613", ".560", ".644", ".596", ".593"]
    assert all(sum("textbf" in row[k] for row in rows.values()) >= 1 for k in range(1, 7))
    assert latex_languages([]).count("\\begin") == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_document_compiles(full: Comparison, hostile: Comparison, tmp_path: Path) -> None:
    (tmp_path / "comparison.tex").write_text(latex([full, hostile]), encoding="utf-8")
    (tmp_path / "languages.tex").write_text(latex_languages([full, hostile]), encoding="utf-8")
    document = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
        r"\begin{document}\input{comparison}\input{languages}\end{document}"
    )
    (tmp_path / "main.tex").write_text(document, encoding="utf-8")

    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"], cwd=tmp_path, check=False
    )

    assert done.returncode == 0
