"""`hybrid-retrieval compare`: tables, a page and a picture from many runs, on one benchmark or several."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.comparison import compare_runs
from hybrid_retrieval.reporting.console import console_table
from hybrid_retrieval.reporting.csv_tables import csv_table, differences_csv
from hybrid_retrieval.reporting.figures import FOLDER, write_figures, write_picture
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.latex import latex
from hybrid_retrieval.reporting.latex_languages import latex_languages
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.summary import summary_sentences

PICTURE = "comparison.png"


def run(cfg: DictConfig) -> None:
    """Write comparison.md, .csv, .tex, .png, differences.csv, report.html and figures/; print the tables.

    Args:
        cfg: `conf/compare.yaml`: `runs` (folders), `out` (folder, None for the default), `metric`,
            `baseline`, `benchmark_name`, `paper` and `figures`.

    Raises:
        UserError: no runs given or found, unreadable or incomparable ones, an unknown option value.
    """
    folders = [Path(folder) for folder in cfg.runs]
    if not folders:
        raise UserError(
            "compare: no run folder given. Use: hybrid-retrieval compare <run folders or a multirun folder>"
        )
    comparisons = compare_runs(
        folders,
        metric=cfg.get("metric"),
        baseline=cfg.get("baseline", "x_x_mono"),
        benchmark=cfg.get("benchmark_name"),
        paper=cfg.get("paper", False),
    )
    texts = {
        "comparison.md": markdown(comparisons),
        "comparison.csv": csv_table(comparisons),
        "differences.csv": differences_csv(comparisons),
        "comparison.tex": latex(comparisons),
        "comparison_languages.tex": latex_languages(comparisons),
        "report.html": report(comparisons),
    }
    out = _output_folder(cfg.get("out"), folders)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _write(out / name, text)
    write_picture(comparisons, out / PICTURE)
    if cfg.get("figures", True):
        write_figures(comparisons, out / FOLDER)
    console = Console()
    for comparison in comparisons:
        console.print(console_table(comparison))
        console.print(escape(" ".join(summary_sentences(comparison))))
        for note in comparison.caveats():
            console.print(escape(note), style="yellow")
        console.print()
    for sentence in comparisons[0].apart:
        console.print(escape(sentence), style="yellow")
    for name in (*texts, PICTURE, *([FOLDER] if cfg.get("figures", True) else [])):
        console.print(str(out / name), soft_wrap=True, highlight=False, markup=False)


def _output_folder(out: str | None, folders: list[Path]) -> Path:
    if out:
        return Path(out)
    if len(folders) == 1:
        return folders[0]
    return Path(HydraConfig.get().runtime.output_dir) if HydraConfig.initialized() else Path.cwd()


def _write(file: Path, text: str) -> None:
    with atomic_file(file) as new:
        new.write_text(text, encoding="utf-8")
