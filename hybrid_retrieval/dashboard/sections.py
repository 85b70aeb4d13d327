"""What a dashboard shows, section by section: the same for the workspace and the report."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from hybrid_retrieval.dashboard import names, panels
from hybrid_retrieval.dashboard.panels import Panel
from hybrid_retrieval.dashboard.settings import DashboardSettings
from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY
from hybrid_retrieval.reporting.columns import DECOMPOSITION, RANK_DISTANCE, SETTING_WORDS, metric_name

MEASURES = tuple(key for key in BY_QUERY if key not in DECOMPOSITION)
_ID_DIGITS = 12


@dataclass(frozen=True)
class Section:
    """A part of a dashboard.

    Attributes:
        title: heading.
        text: what it shows and how to read it; "" for nothing.
        panels: with ids and places.
        columns: panels in a row.
        grouped: whether the run set is grouped, so that seeds are averaged.
    """

    title: str
    text: str
    panels: tuple[Panel, ...]
    columns: int = 3
    grouped: bool = True


def sections(settings: DashboardSettings, view: str) -> list[Section]:
    """All sections, in the order of reading; panels are made anew at each call.

    Args:
        settings: of the dashboard.
        view: part of the panels' ids, which differ between views and stay the same from call to call.
    """
    made = [make(settings) for make in _SECTIONS]
    for section in made:
        ids = [stable_id(view, section.title, panels.title_of(panel)) for panel in section.panels]
        panels.lay_out(section.panels, ids, section.columns)
    return made


def stable_id(*parts: str) -> str:
    """12 hexadecimal digits that depend on the parts alone."""
    return sha256("\n".join(parts).encode()).hexdigest()[:_ID_DIGITS]


def _three_settings(settings: DashboardSettings) -> Section:
    metric = settings.metric
    return Section(
        "Three settings",
        "Retrieval within one language (monolingual), between two (cross-lingual) and in the pool of all "
        "languages (multilingual). A bar is the mean over the seeds, its whisker their standard deviation.",
        (
            *(
                panels.bars(f"{metric_name(metric)} {SETTING_WORDS[s]}", names.score(s, metric))
                for s in names.SETTINGS
            ),
            panels.bars(f"{metric_name(metric)} in all settings", *_scores(metric)),
            panels.bars(_title(RANK_DISTANCE), names.bias(RANK_DISTANCE)),
            panels.against(
                f"Rank distance (x), {metric_name(metric)} multilingual (y)",
                names.bias(RANK_DISTANCE),
                names.score("multilingual", metric),
            ),
        ),
    )


def _alpha(settings: DashboardSettings) -> Section:
    metric, word = settings.metric, metric_name(settings.metric)
    return Section(
        "Alpha",
        "Alpha is the probability of a monolingual batch; runs of other strategies have none, those with a "
        "schedule no single one. All have a share of monolingual batches: 1 for x_x_mono and 0 for x_y.",
        (
            *(
                panels.over_alpha(f"{word} {SETTING_WORDS[s]} against alpha", names.score(s, metric))
                for s in names.SETTINGS
            ),
            *(panels.over_alpha(f"{_title(m)} against alpha", names.bias(m)) for m in MEASURES),
            *(
                panels.against(
                    f"{word} {SETTING_WORDS[s]} against the share of monolingual batches",
                    names.MONOLINGUAL_SHARE,
                    names.score(s, metric),
                )
                for s in names.SETTINGS
            ),
            panels.against(
                f"{_title(RANK_DISTANCE)} against the share of monolingual batches",
                names.MONOLINGUAL_SHARE,
                names.bias(RANK_DISTANCE),
            ),
            panels.parallel_axes(
                "Trade-off",
                {
                    **{f"{word} {SETTING_WORDS[s]}": names.score(s, metric) for s in names.SETTINGS},
                    _title(RANK_DISTANCE): names.bias(RANK_DISTANCE),
                },
                {"strategy": names.STRATEGY, "alpha": names.ALPHA, "seed": names.SEED},
            ),
        ),
    )


def _bias(settings: DashboardSettings) -> Section:
    meanings = " ".join(f"{_title(m)}: {BY_QUERY[m].meaning}" for m in MEASURES)
    return Section(
        "Language bias",
        f"How much the language of a document, rather than its content, decides its rank. {meanings}",
        (
            *(panels.bars(_title(m), names.bias(m)) for m in MEASURES),
            panels.bars("What the first candidate is", *map(names.bias, DECOMPOSITION)),
        ),
    )


def _languages(settings: DashboardSettings) -> Section:
    word = metric_name(settings.metric)
    missing = "" if settings.languages else " Give the folder of the sweep, or languages=[...], for more."
    by_pair: list[Panel] = [
        panels.table_bars(f"{word} of pairs by {by}", names.PAIR_TABLE, by=by, value=settings.metric)
        for by in (names.QUERY_LANGUAGE, names.DOCUMENT_LANGUAGE)
    ]
    return Section(
        "Languages",
        f"One line a run, one axis a language; bars for the groups.{missing}",
        tuple(_by_language(settings) + by_pair),
        columns=2,
    )


def _by_language(settings: DashboardSettings) -> list[Panel]:
    """Panels that name each language; none where the languages are not known."""
    if not settings.languages:
        return []
    word = metric_name(settings.metric)

    def of_queries(name: str) -> dict[str, str]:
        return {code: names.of_query_language(code, name) for code in settings.languages}

    shares = {code: names.of_document_language(code, "top_share@10") for code in settings.languages}
    found: list[Panel] = []
    for s in names.SETTINGS:
        title, by_language = f"{word} {SETTING_WORDS[s]}", of_queries(f"{s}/{settings.metric}")
        found.append(panels.parallel_axes(f"{title} by query language", by_language))
        found.append(panels.bars(f"{title} by query language, groups", *by_language.values()))
    distances = of_queries(RANK_DISTANCE)
    return [
        *found,
        panels.parallel_axes("Rank distance by query language", distances),
        panels.bars("Rank distance by query language, groups", *distances.values()),
        panels.parallel_axes("Share of the top 10 by document language", shares),
        panels.bars("Share of the top 10 by document language, groups", *shares.values()),
    ]


def _pairs(settings: DashboardSettings) -> Section:
    return Section(
        "Pairs of languages",
        "Each run's mAP by language of query and document, and in which language its first ten results are.",
        (
            panels.pictures("mAP by language of query and document", names.PAIR_MAP),
            panels.pictures("Languages of the first ten results", names.CONFUSION_MAP),
            panels.table(names.PAIR_TABLE),
            panels.table(names.CONFUSION_TABLE),
        ),
        columns=2,
        grouped=False,
    )


def _training(settings: DashboardSettings) -> Section:
    return Section(
        "Training",
        "Lines are means over seeds, bands their standard deviation. The losses of the two kinds of batch "
        "are of tasks that are not equally hard.",
        (
            panels.lines("Loss", names.LOSS),
            panels.lines("Loss by kind of batch", *names.LOSSES_BY_BATCH),
            panels.lines("Gradient norm", names.GRADIENT_NORM, log=True),
            panels.lines("Validation loss", names.validation("loss")),
            panels.lines(
                "Validation loss by kind of pair",
                *(names.validation(f"loss_{s}") for s in names.SETTINGS if s != "multilingual"),
            ),
            panels.lines("Validation mAP", *(names.validation(f"map_{s}") for s in names.SETTINGS)),
            panels.lines("Validation rank distance", names.validation(RANK_DISTANCE)),
            panels.lines("Share of monolingual batches", names.MONOLINGUAL_SHARE),
            panels.lines("Learning rate", names.LEARNING_RATE),
        ),
    )


def _cost(settings: DashboardSettings) -> Section:
    return Section(
        "Cost",
        "Speed of the first process, and what W&B measured on its node: memory, and the power that the GPUs "
        "took. Seconds and energy of the training are those since the last start of a run.",
        (
            panels.lines("Pairs per second", names.PAIRS_PER_SECOND),
            panels.lines("Tokens per second", names.TOKENS_PER_SECOND),
            panels.lines("Share of the peak of a matrix product", names.PEAK_SHARE),
            panels.lines("Share of padding", names.PADDING_SHARE),
            panels.lines("Memory of the process, MB", names.PROCESS_MEMORY, x=names.SECONDS),
            panels.lines("CPU, percent", names.CPU, x=names.SECONDS),
            panels.lines("Memory of the GPUs, bytes", *names.GPU_MEMORY, x=names.SECONDS),
            panels.lines("Power of the GPUs, watts", *names.GPU_POWER, x=names.SECONDS),
            panels.bars("Seconds of a run", names.SECONDS),
            panels.bars("Seconds of the training", names.TRAIN_SECONDS),
            panels.bars("Energy of the training, joules of the GPUs", names.ENERGY),
        ),
    )


def _runs(settings: DashboardSettings) -> Section:
    return Section(
        "Runs", "In which settings the runs differ.", (panels.differences(),), columns=1, grouped=False
    )


_SECTIONS: tuple[Callable[[DashboardSettings], Section], ...] = (
    _three_settings,
    _alpha,
    _bias,
    _languages,
    _pairs,
    _training,
    _cost,
    _runs,
)


def _scores(metric: str) -> list[str]:
    return [names.score(setting, metric) for setting in names.SETTINGS]


def _title(measure: str) -> str:
    return BY_QUERY[measure].title
