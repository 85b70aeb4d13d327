import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.commands import compare
from hybrid_retrieval.errors import UserError

from .fake_runs import write_study

FILES = {
    "comparison.md", "comparison.csv", "differences.csv", "comparison.tex", "comparison_languages.tex",
    "comparison.png", "report.html",
}  # fmt: skip
CONFIG = Path(__file__).parents[2] / "conf" / "compare.yaml"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_study(tmp_path / "multirun", ("untrained", "x_x_mono", "hybrid"), seeds=1, questions=20)


def files_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file()}


def run_compare(*folders: Path, out: str | None = None, figures: bool = False) -> None:
    given = OmegaConf.create({"runs": [str(folder) for folder in folders], "out": out, "figures": figures})
    config = OmegaConf.merge(OmegaConf.load(CONFIG), given)
    assert isinstance(config, DictConfig)
    compare.run(config)


def test_writes_into_the_one_folder_and_prints_table_and_paths(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_compare(small, figures=True)

    assert files_in(small) == FILES
    assert {"heat_maps.pdf", "heat_maps.png"} <= files_in(small / "figures")
    assert (small / "comparison.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("untrained", "x_x_mono", "hybrid"))
    assert printed.split()[-8:] == [
        str(small / n)
        for n in (
            "comparison.md", "comparison.csv", "differences.csv", "comparison.tex",
            "comparison_languages.tex", "report.html", "comparison.png", "figures",
        )
    ]  # fmt: skip


def test_a_second_comparison_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    for out in ("first", "second"):
        run_compare(small, out=str(tmp_path / out))

    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_several_folders_write_to_the_folder_asked_for(small: Path, tmp_path: Path) -> None:
    run_compare(*sorted(small.iterdir()), out=str(tmp_path / "deep" / "out"))

    assert files_in(tmp_path / "deep" / "out") == FILES
    assert files_in(small) == set()


def test_a_mistake_leaves_nothing_behind(small: Path, tmp_path: Path) -> None:
    (small / "hybrid-1" / "metrics.json").write_text("{", encoding="utf-8")

    with pytest.raises(UserError, match="hybrid-1"):
        run_compare(small, out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="no run folder given"):
        run_compare()


def test_config_is_complete() -> None:
    assert set(OmegaConf.load(CONFIG)) - {"defaults"} == {
        "runs",
        "out",
        "metric",
        "baseline",
        "benchmark_name",
        "paper",
        "figures",
    }


def test_command_module_does_not_load_torch() -> None:
    """A table must not wait seconds for torch."""
    code = f"import sys, {compare.__name__}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_picture_takes_any_name(tmp_path: Path) -> None:
    """Dollar signs would start a formula."""
    write_study(tmp_path / "runs", ("untrained",), model="$\\frac{$", questions=8)
    write_study(tmp_path / "runs2", ("untrained",), model="other", questions=8)

    run_compare(tmp_path / "runs", tmp_path / "runs2", out=str(tmp_path / "out"))

    assert files_in(tmp_path / "out") == FILES
