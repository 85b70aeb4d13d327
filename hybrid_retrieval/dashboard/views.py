"""The two views of a dashboard: a workspace to explore runs in, and a report to read and to share."""

import shlex
import unicodedata
from typing import Any

import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr

from hybrid_retrieval.dashboard import names
from hybrid_retrieval.dashboard.sections import Section, sections, stable_id
from hybrid_retrieval.dashboard.settings import DashboardSettings

_LONGEST_TITLE = 128  # of a report; W&B refuses longer ones
_MOST_RUNS = 30  # a panel of a workspace has 10 otherwise
_OPEN = 2  # sections of the workspace that are open at first


def workspace(settings: DashboardSettings) -> ws.Workspace:
    """A workspace with all sections; its runs are grouped as the settings say."""
    made = ws.Workspace(
        entity=settings.entity,
        project=settings.project,
        name=_title(settings),
        sections=[
            ws.Section(
                name=section.title,
                panels=list(section.panels),
                is_open=number < _OPEN,
                layout_settings=ws.SectionLayoutSettings(columns=section.columns, rows=_rows(section)),
                panel_settings=ws.SectionPanelSettings(x_axis=names.STEP),
            )
            for number, section in enumerate(sections(settings, "workspace"))
        ],
        settings=ws.WorkspaceSettings(x_axis=names.STEP, max_runs=_MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            groupby=[expr.Config(name) for name in settings.group_by],
            order=[expr.Ordering(expr.Metric("Name"))],
            pinned_columns=_columns(settings),
        ),
    )
    made._internal_runset_id = stable_id("workspace", "runs")
    made._stashed_filters_v2, made._stashed_filter_string = filters_of(settings), ""
    return made


def report(settings: DashboardSettings) -> wr.Report:
    """A report with the same panels under headings, each with what it shows."""
    blocks: list[Any] = [
        wr.P(_introduction(settings)),
        wr.MarkdownBlock(text=f"```sh\n{_command(settings)}\n```"),
        wr.TableOfContents(),
    ]
    for section in sections(settings, "report"):
        blocks += [
            wr.H1(section.title),
            wr.P(section.text),
            wr.PanelGrid(runsets=[_runset(settings, section)], panels=list(section.panels)),
        ]
    return wr.Report(
        entity=settings.entity,
        project=settings.project,
        title=_title(settings),
        description="Strategies of mixed monolingual and cross-lingual batches (arXiv 2408.10536) compared.",
        blocks=blocks,
        width="fluid",
    )


def filters_of(settings: DashboardSettings) -> dict[str, Any]:
    """The runs of the groups that have all tags, in W&B's format `filterV2`.

    It takes the place of the expression `filters=`, in which a name may hold no quotes and no equals sign.
    """
    wanted = [expr.Tags().isin([tag]) for tag in settings.tags]
    if settings.groups:
        wanted = [expr.Metric("Group").isin(list(settings.groups)), *wanted]
    filters: dict[str, Any] = expr.filters_tree_to_v2(expr.And(*wanted).to_model())
    return filters


def _runset(settings: DashboardSettings, section: Section) -> wr.Runset:
    """The runs of the report's own project."""
    made = wr.Runset(
        name=settings.title,
        groupby=[f"config.{name}" for name in settings.group_by] if section.grouped else [],
        order=[wr.OrderBy("Name", ascending=True)],
        pinned_columns=_columns(settings),
    )
    made._id = stable_id("report", section.title, "runs")
    made._stashed_filters_v2, made._stashed_filter_string = filters_of(settings), ""
    return made


def _columns(settings: DashboardSettings) -> list[str]:
    """What the table of runs shows first."""
    configuration = dict.fromkeys((*settings.group_by, names.STRATEGY, names.ALPHA, names.SEED))
    metrics = [*(names.score(s, settings.metric) for s in names.SETTINGS), names.bias("rank_distance")]
    return [
        "run:displayName",
        *(f"config:{_in_backend(name)}" for name in configuration),
        *(f"summary:{name}" for name in metrics),
    ]


def _in_backend(name: str) -> str:
    """W&B keeps `a.b` of the configuration as `a.value.b`."""
    first, *rest = name.split(".")
    return ".".join((first, "value", *rest))


def _rows(section: Section) -> int:
    return -(-len(section.panels) // section.columns)


def _title(settings: DashboardSettings) -> str:
    """Without symbols, which W&B refuses in the name of a workspace, equals signs too."""
    plain = "".join("-" if unicodedata.category(c).startswith("S") else c for c in settings.title)
    return f"Hybrid batches: {plain}"[:_LONGEST_TITLE]


def _introduction(settings: DashboardSettings) -> str:
    runs = f"The runs of {settings.title}" if settings.groups else f"All runs of {settings.project}"
    tagged = f" with the tags {', '.join(settings.tags)}" if settings.tags else ""
    grouped = f", grouped by {' and '.join(settings.group_by)}" if settings.group_by else ""
    averaged = " Runs that agree in these are averaged." if settings.group_by else ""
    return f"{runs}{tagged}{grouped}.{averaged} The panels show new runs as they are uploaded. Made with:"


def _command(settings: DashboardSettings) -> str:
    return shlex.join(["hybrid-retrieval", "dashboard", *settings.overrides()])
