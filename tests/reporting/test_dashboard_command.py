"""`hybrid-retrieval dashboard`: to a file, to a server, and what stands in the way of either."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.dashboard.settings import PROJECT
from tests.conftest import Command, Outcome
from tests.refusal import refused
from tests.reporting.fake_runs import write_study
from tests.reporting.wandb_server import WandbServer, serving

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")

KEY = "0123456789abcdef" * 2 + "01234567"
FRESH = """
import sys
from hybrid_retrieval.cli import run
assert run(["dashboard", "--help"]) == 0
heavy = {"torch", "numpy", "lightning", "wandb", "pydantic", "wandb_workspaces"} & set(sys.modules)
assert not heavy, heavy
sys.exit(run(["dashboard", *sys.argv[1:]]))
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, and no login."""
    import wandb  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving(WandbServer()) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.address)
        yield server


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def runset(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["workspace"]["spec"]["section"]["runSets"][0]
    return found


def filters(content: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(each["key"]["name"], each["value"]) for each in runset(content)["filters"]["filters"]]


def without_key(outcome: Outcome, folder: Path) -> None:
    assert KEY not in outcome.out + outcome.err
    for file in folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def write_sweep(
    folder: Path, *, project: str = "mine", group: str | None = None, mode: str = "MULTIRUN"
) -> Path:
    """Evaluated runs with Hydra's records of them."""
    study = write_study(folder, ("x_x_mono", "hybrid"), seeds=1, questions=4)
    for metrics in study.rglob("metrics.json"):
        records = metrics.parent / ".hydra"
        records.mkdir(exist_ok=True)
        logger = {"wandb": {"mode": "offline", "project": project, "group": group}}
        (records / "config.yaml").write_text(yaml.safe_dump({"logger": logger}))
        hydra = {"mode": mode, "sweep": {"dir": f"/elsewhere/{folder.name}"}}
        (records / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    return study


def test_without_a_login_the_folder_gets_the_file(command: Command, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "alpha-1a2b3c")
    outcome = command("dashboard", str(sweep))

    assert (outcome.status, outcome.err) == (0, "")
    assert "there is no login" in outcome.out
    content = read(sweep / "dashboard.json")
    assert filters(content) == [("group", ["alpha-1a2b3c"])]
    assert content["workspace"]["project"] == content["report"]["project"]["name"] == "mine"
    languages = sorted(read(next(sweep.rglob("metrics.json")))["per_language"])
    assert f"languages=[{','.join(languages)}]" in outcome.out


def test_the_printed_command_makes_the_same_without_the_folder(command: Command, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / 'it\'s a=b, "c"')
    outcome = command("dashboard", str(sweep), "tags=['y z']", "entity=team-1", "metric=ndcg@10")
    line = outcome.out.splitlines()[-1]
    executable = "sys.argv[1:]"
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -c 'import json, sys; print(json.dumps({executable}))' {line}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    arguments = json.loads(done.stdout)
    assert arguments[:2] == ["hybrid-retrieval", "dashboard"]

    assert command(*arguments[1:], "json=again.json").status == 0
    assert read(tmp_path / "again.json") == read(sweep / "dashboard.json")


def test_a_fresh_process_writes_the_same_file_and_help_imports_little(
    command: Command, tmp_path: Path
) -> None:
    arguments = ["sweep=[a,b]", "languages=[de,en]", "json=out/one.json"]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert command("dashboard", *arguments[:2], "json=two.json").status == 0

    assert (tmp_path / "out" / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert filters(read(tmp_path / "two.json")) == [("group", ["a", "b"])]
    assert not list((tmp_path / "out").glob(".*"))


def test_with_a_login_it_uploads_what_the_file_would_hold(
    command: Command, tmp_path: Path, logged_in: WandbServer
) -> None:
    arguments = ("sweep=alpha", "tags=[tiny]", "languages=[de,en]")
    outcome = command("dashboard", *arguments)

    assert (outcome.status, outcome.err) == (0, "")
    workspace, report = outcome.out.splitlines()
    assert workspace.startswith(f"workspace: {logged_in.address}/me/{PROJECT}?nw=")
    assert report == f"report: {logged_in.address}/me/{PROJECT}/reports/Hybrid-batches:-alpha--Vm2"
    assert logged_in.filters == [{"group": {"$in": ["alpha"]}, "tags": {"$all": ["tiny"]}}]
    without_key(outcome, tmp_path)
    assert not list(tmp_path.rglob("*.json"))

    assert command("dashboard", *arguments, "entity=me", "json=d.json").status == 0
    content = read(tmp_path / "d.json")
    for view, name in zip(logged_in.views, ("workspace", "report"), strict=True):
        assert (view["entityName"], view["projectName"]) == ("me", PROJECT)
        assert json.loads(view["spec"]) == content[name]["spec"]


def test_no_runs_yet_is_said(command: Command, logged_in: WandbServer) -> None:
    logged_in.runs = 0
    outcome = command("dashboard", "sweep=typo", "entity=team")
    assert outcome.status == 0
    assert outcome.out.startswith("There are no such runs on W&B yet")
    assert {view["entityName"] for view in logged_in.views} == {"team"}


def test_a_project_that_is_not_there_is_refused(
    command: Command, tmp_path: Path, logged_in: WandbServer
) -> None:
    logged_in.project = False
    refused(
        command, "dashboard", "project=typo", says=["W&B has no project me/typo", "instead: dashboard.json"]
    )
    assert (tmp_path / "dashboard.json").is_file()
    assert not logged_in.views


@pytest.mark.parametrize("server", ["away", "silent"])
def test_a_server_that_is_not_reached_stops_nothing_for_long(
    command: Command, tmp_path: Path, logged_in: WandbServer, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    if server == "away":
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    logged_in.silent = True
    start = time.monotonic()
    outcome = command("dashboard", "sweep=alpha", "timeout=1")

    assert time.monotonic() - start < 20
    assert outcome.status == 1
    assert outcome.err.startswith("error: http://127.0.0.1:")
    assert "was not reached, or did not answer as it should within 1 seconds" in outcome.err
    assert outcome.err.count("\n") == 1
    assert filters(read(tmp_path / "dashboard.json")) == [("group", ["alpha"])]
    without_key(outcome, tmp_path)


def test_a_key_that_is_refused_or_is_none(
    command: Command, tmp_path: Path, logged_in: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged_in.status = 401
    refused(command, "dashboard", says="does not accept the login")
    without_key(command("dashboard"), tmp_path)

    monkeypatch.setenv("WANDB_API_KEY", "short-secret")
    refused(command, "dashboard", says="wandb login")
    assert "short-secret" not in command("dashboard").err


def test_a_login_in_a_netrc_file_counts(
    command: Command, tmp_path: Path, logged_in: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    host = logged_in.address.removeprefix("http://")
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    outcome = command("dashboard", "sweep=alpha")
    assert outcome.status == 0, outcome.err
    assert len(logged_in.views) == 2
    assert KEY not in outcome.out


def test_offline_mode_uploads_nothing(
    command: Command, tmp_path: Path, logged_in: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    outcome = command("dashboard")
    assert "WANDB_MODE=offline" in outcome.out
    assert filters(read(tmp_path / "dashboard.json")) == []
    assert not logged_in.views


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metric=maps"], "metric=maps is unknown; known: map, map@20"),
        (["timeout=0"], "timeout=0 must be a whole number of seconds above 0"),
        (["group=1.5"], "group=1.5 must be a name or a list of names: group=[a,b]"),
        (["project=[a]"], "project=['a'] must be a name"),
        (["json=."], "json=. is a folder"),
        (["nowhere"], "no such folder"),
    ],
)
def test_a_mistake_is_one_message(command: Command, arguments: list[str], message: str) -> None:
    refused(command, "dashboard", *arguments, says=message)


def test_folders_that_make_no_dashboard(command: Command, tmp_path: Path) -> None:
    single = write_sweep(tmp_path / "single", mode="RUN")
    refused(command, "dashboard", str(single), says="its runs are of no sweep (-m)")
    other = write_sweep(tmp_path / "other", project="other")
    sweep = write_sweep(tmp_path / "sweep")
    refused(command, "dashboard", str(other), str(sweep), says="runs of the projects mine, other")
    refused(command, "dashboard", str(sweep), "project=x", says="project=x, but the runs in")
    unlogged = write_study(tmp_path / "unlogged", ("hybrid",), seeds=1, questions=4)
    refused(command, "dashboard", str(unlogged), says="no run there was logged to Weights & Biases")


def test_a_group_of_ones_own_and_the_path_of_a_sweep(command: Command, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "x" / "sweep", group="ours", mode="RUN")
    outcome = command("dashboard", f"sweep=[other,{sweep}]", "json=d.json")
    assert outcome.status == 0, outcome.err
    assert filters(read(tmp_path / "d.json")) == [("group", ["other", "ours"])]


def test_a_missing_package_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr("hybrid_retrieval.commands.dashboard.importlib", fake)
    refused(command, "dashboard", says="pip install 'hybrid-retrieval[dashboard]'")


def test_the_project_is_the_one_that_training_logs_to() -> None:
    logger = yaml.safe_load((config_folder() / "logger" / "wandb.yaml").read_text(encoding="utf-8"))
    assert logger["wandb"]["project"] == PROJECT
