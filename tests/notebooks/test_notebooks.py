"""What every notebook must be like in the repository; `make notebooks` executes them."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"""(?<![\w.])(?:/(?:home|root|work|tmp|mnt|data|Users)\b|[A-Za-z]:\\|~/)""")
LINES = 100  # of code, so that a notebook is read in one sitting


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    return [c for c in json.loads(notebook.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def code(notebook: Path) -> str:
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells(notebook, "code")).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def imported(notebook: Path) -> list[tuple[str, str]]:
    """Module and name of every import."""
    found = []
    for node in ast.walk(ast.parse(code(notebook))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return found


def test_the_notebooks_that_are_promised_are_there() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"compare_runs", "inspect_batches"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_holds_no_outputs_and_nothing_of_a_machine(notebook: Path) -> None:
    text = notebook.read_text("utf-8")

    for cell in cells(notebook, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}
    assert not MACHINE_PATH.search(text)
    assert json.loads(text)["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_short_and_explained(notebook: Path) -> None:
    assert len(code(notebook).splitlines()) <= LINES
    first = json.loads(notebook.read_text("utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert first["source"][0].startswith("# ")
    settings = cells(notebook, "code")[0]["source"]  # what a reader changes stands on top
    assert all(line.startswith("#") or re.match(r"[A-Z]+ = ", line) for line in settings)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_only_what_is_public_and_there(notebook: Path) -> None:
    own = [(module, name) for module, name in imported(notebook) if module.startswith("hybrid_retrieval")]

    assert own
    for module, name in own:
        assert name
        assert not any(part.startswith("_") for part in (*module.split("."), name))
        assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"


def test_machine_paths_are_seen() -> None:
    for text in ('"/home/a/runs"', "'/work/x'", '"C:\\\\runs"', '"~/runs"', " /tmp/a"):
        assert MACHINE_PATH.search(text)
    for text in ('"../outputs/notebooks"', "train/loss", "https://a.b/home/x", "and/or"):
        assert not MACHINE_PATH.search(text)
