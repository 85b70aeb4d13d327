"""Dashboards: every name is one that runs log, W&B's own models read them, ids and places are in order."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.dashboard import names
from hybrid_retrieval.dashboard.settings import DashboardSettings
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.evaluation.results import SETTINGS
from hybrid_retrieval.training import run as training_run
from tests.conftest import Command
from tests.own_data import own_data_overrides
from tests.wandb_program import inspected

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")

Content = dict[str, Any]


def settings(**changed: Any) -> DashboardSettings:
    values: dict[str, Any] = {
        "entity": "me", "project": "mine", "groups": ("alpha",), "tags": ("tiny",), "languages": ("de", "en"),
        "metric": "map", "group_by": ("sampler.name", "sampler.alpha"),
    }  # fmt: skip
    return DashboardSettings(**{**values, **changed})


def content_of(made: DashboardSettings) -> Content:
    from hybrid_retrieval.dashboard.spec import specification  # noqa: PLC0415
    from hybrid_retrieval.dashboard.views import report, workspace  # noqa: PLC0415

    return specification(workspace(made), report(made))


def sections_of(content: Content) -> dict[str, dict[str, list[Content]]]:
    """The panels of each section of each view."""
    banks = content["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    blocks = content["report"]["spec"]["blocks"]
    grids = [block["metadata"]["panelBankSectionConfig"] for block in blocks if block["type"] == "panel-grid"]
    headings = [block["children"][0]["text"] for block in blocks if block["type"] == "heading"]
    return {
        "workspace": {bank["name"]: bank["panels"] for bank in banks},
        "report": {name: grid["panels"] for name, grid in zip(headings, grids, strict=True)},
    }


def panels_of(content: Content) -> list[Content]:
    views = sections_of(content).values()
    return [panel for view in views for panels in view.values() for panel in panels]


def run_sets_of(content: Content) -> list[Content]:
    blocks = content["report"]["spec"]["blocks"]
    grids = [block["metadata"]["runSets"] for block in blocks if block["type"] == "panel-grid"]
    return [*content["workspace"]["spec"]["section"]["runSets"], *itertools.chain(*grids)]


class Logged:
    """What an offline run logged, read back by wandb itself."""

    def __init__(self, folder: Path) -> None:
        records = [json.loads(line) for line in inspected(folder).splitlines()]
        self.files = folder / "files"
        self.run = next(record["run"] for record in records if record["type"] == "run")
        self.history = {k for r in records if r["type"] == "history" for k in r["history"]["item"]}
        self.system = {f"system/{k}" for r in records if r["type"] == "stats" for k in r["stats"]["item"]}
        self.summary = json.loads(inspected(folder, "--summary"))["summary"]

    def has_setting(self, name: str) -> bool:
        """Of W&B's form of a name: `a.value.b`."""
        first, value, *rest = name.split(".")
        found = self.run["config"]["update"]
        for key in (first, *rest):
            if not isinstance(found, dict) or key not in found:
                return False
            found = found[key]
        return value == "value"

    def columns(self, key: str) -> list[str]:
        assert self.summary[key]["_type"] == "table-file"
        content = json.loads((self.files / self.summary[key]["path"]).read_text(encoding="utf-8"))
        return [str(column) for column in content["columns"]]

    def has_value(self, accessor: str) -> bool:
        """Of `summary:name`, `config:name` or `run:name`."""
        section, _, name = accessor.partition(":")
        if section == "config":
            return self.has_setting(name)
        return name == "displayName" if section == "run" else isinstance(self.summary.get(name), int | float)


def missing_from(logged: Logged, panel: Content) -> list[str]:
    """What a panel names and the run has not."""
    config, kind = panel["config"], panel["viewType"]
    found: dict[str, bool] = {}
    if kind == "Run History Line Plot":
        known = {*logged.history, *logged.system, *names.GPU_MEMORY, *names.GPU_POWER}
        found = {name: name in known for name in (*config["metrics"], config["xAxis"])}
    elif kind == "Bar Chart":
        found = {name: logged.has_value(f"summary:{name}") for name in config["metrics"]}
    elif kind == "Scatter Plot":
        found = {config[axis]: logged.has_value(config[axis]) for axis in ("xAxis", "yAxis")}
    elif kind == "Parallel Coordinates Plot":
        found = {column["accessor"]: logged.has_value(column["accessor"]) for column in config["columns"]}
    elif kind == "Media Browser":
        found = {key: logged.summary[key]["_type"] == "image-file" for key in config["mediaKeys"]}
    elif kind == "Weave":
        key = config["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"]
        found = {key: bool(logged.columns(key))}
    elif kind == "Vega2":
        fields = config["userQuery"]["queryFields"][0]["fields"]
        (key,) = (a["value"] for f in fields if f["name"] == "summaryTable" for a in f["args"])
        found = {name: name in logged.columns(key) for name in config["fieldSettings"].values()}
    else:
        assert kind == "Run Comparer"
    return [name for name, there in found.items() if not there]


def test_every_name_is_one_that_a_run_logs(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb  # noqa: PLC0415

    monkeypatch.setattr(training_run, "energy_of_run", lambda *_: {"energy_joules": 12.5})  # as on a GPU
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    monkeypatch.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
    wandb.teardown()  # it read the environment before
    sweep = tmp_path / "my_sweep"
    outcome = command(
        "train", "-m", *own_data_overrides(own_data), "logger=wandb", "trainer.max_steps=8", "seed=1",
        f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    wandb.teardown()
    assert outcome.status == 0, outcome
    (folder,) = sweep.glob("*/wandb/offline-run-*")
    logged = Logged(folder)
    assert set(names.LOSSES_BY_BATCH) <= logged.history, "choose a seed with both kinds of batch"
    plain = yaml.safe_load((config_folder() / "dashboard.yaml").read_text(encoding="utf-8"))
    for metric in names.METRICS:
        chosen = {"runs": [str(sweep)], "tags": logged.run["tags"], "metric": metric}
        content = content_of(DashboardSettings.of(plain | chosen, {}))

        missing = {panel["__id__"]: missing_from(logged, panel) for panel in panels_of(content)}
        assert not [found for found in missing.values() if found], missing
        shown = json.dumps(panels_of(content))
        assert all(f"test/per_language/{code}/multilingual/{metric}" in shown for code in ("de", "en"))

        for run_set in run_sets_of(content):
            assert all(logged.has_setting(key["name"]) for key in run_set["grouping"])
            assert all(logged.has_value(column) for column in run_set["runFeed"]["columnOrder"])
            wanted: dict[str, list[str]] = {each["key"]["name"]: [] for each in run_set["filters"]["filters"]}
            for each in run_set["filters"]["filters"]:
                assert (each["key"]["section"], each["op"], each["disabled"]) == ("run", "IN", False)
                wanted[each["key"]["name"]] += each["value"]
            assert wanted == {"group": [logged.run["run_group"]], "tags": logged.run["tags"]}
        assert content["report"]["project"]["name"] == logged.run["project"]


def test_the_names_are_those_of_the_evaluation() -> None:
    assert set(names.METRICS) == set(METRICS)
    assert names.SETTINGS == SETTINGS


def test_wandbs_own_models_read_what_is_written() -> None:
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415
    from wandb_workspaces.reports.v2 import interface as wr  # noqa: PLC0415
    from wandb_workspaces.reports.v2.internal import ReportViewspec  # noqa: PLC0415
    from wandb_workspaces.workspaces.internal import View  # noqa: PLC0415

    def plain(model: Any) -> Content:
        found: Content = json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
        return found

    content = content_of(settings())
    view, spec = View.model_validate(content["workspace"]), ReportViewspec.model_validate(content["report"])
    assert plain(view) == content["workspace"]
    again = plain(spec)
    for block in again["spec"]["blocks"]:
        if block["type"] == "heading":  # reading one adds an empty list
            assert not block["children"][0].pop("inlineComments")
    assert again == content["report"]

    workspace, report = ws.Workspace._from_model(view), wr.Report._from_model(spec)
    grids = [block for block in report.blocks if isinstance(block, wr.PanelGrid)]
    read = [*(p for s in workspace.sections for p in s.panels), *(p for grid in grids for p in grid.panels)]
    assert len(read) == len(panels_of(content))
    assert not any(isinstance(panel, wr.UnknownPanel) for panel in read)
    assert not any(isinstance(block, wr.UnknownBlock) for block in report.blocks)
    for panel, written in zip(read, panels_of(content), strict=True):
        back = plain(panel._to_model())
        if not isinstance(panel, wr.WeavePanelSummaryTable):  # reading one loses its place
            assert back["layout"] == written["layout"]
        if not isinstance(panel, wr.CustomChart):  # reading one adds the arguments of its query to the fields
            assert back["config"] == written["config"]


def test_ids_are_of_the_place_and_stay_when_others_come() -> None:
    once, without = content_of(settings()), content_of(settings(languages=(), groups=("other",)))
    assert json.dumps(once) == json.dumps(content_of(settings()))
    for view in ("workspace", "report"):
        before, after = (
            {panel["__id__"] for panels in sections_of(c)[view].values() for panel in panels}
            for c in (without, once)
        )
        assert before < after
    ids = [panel["__id__"] for panel in panels_of(once)]
    run_sets = [run_set["id"] for run_set in run_sets_of(once)]
    assert len(set(ids + run_sets)) == len(ids + run_sets)


def test_panels_stand_in_rows_without_overlap() -> None:
    for view in sections_of(content_of(settings())).values():
        for panels in view.values():
            taken: set[tuple[int, int]] = set()
            for panel in panels:
                place = panel["layout"]
                cells = set(
                    itertools.product(
                        range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
                    )
                )
                assert not taken & cells
                assert max(x for x, _ in cells) < 24
                taken |= cells


def test_both_views_show_the_same_under_the_same_headings() -> None:
    views = sections_of(content_of(settings()))
    assert list(views["workspace"]) == list(views["report"])
    for name, panels in views["workspace"].items():
        ours, theirs = ([{**p, "__id__": ""} for p in each] for each in (panels, views["report"][name]))
        assert ours == theirs


def test_runs_are_grouped_but_where_each_is_shown() -> None:
    content = content_of(settings(group_by=("backbone.name", "seed")))
    groupings = [[key["name"] for key in run_set["grouping"]] for run_set in run_sets_of(content)]
    assert groupings[0] == ["backbone.value.name", "seed.value"]
    apart = {"Pairs of languages", "Runs"}
    for name, grouping in zip(sections_of(content)["report"], groupings[1:], strict=True):
        assert grouping == ([] if name in apart else groupings[0])
    assert all(not run_set["grouping"] for run_set in run_sets_of(content_of(settings(group_by=()))))


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a=b<c>", "x == 'y' or", "中文", "é" * 200])
def test_any_name_may_be_a_sweeps(name: str) -> None:
    content = content_of(settings(groups=(name,), tags=()))
    for run_set in run_sets_of(content):
        assert [each["value"] for each in run_set["filters"]["filters"]] == [[name]]
    assert len(content["report"]["displayName"]) <= 128
