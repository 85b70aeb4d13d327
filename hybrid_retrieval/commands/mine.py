"""`hybrid-retrieval mine`: hard negatives for the questions of a data set, as a data set to train on."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from hybrid_retrieval.data.text_lengths import check_text_lengths
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.number_options import check_number

if TYPE_CHECKING:
    from hybrid_retrieval.data.parallel import ParallelCorpus
    from hybrid_retrieval.mining.mine import Mined


def run(cfg: DictConfig) -> None:
    """Mine hard negatives with `cfg.model` for each data set of `cfg.data`; the last lines are the folders.

    Args:
        cfg: `conf/mine.yaml`.

    Raises:
        UserError: a setting, the model or the data do not fit, or no negatives are left.
    """
    settings = MiningSettings.of(cfg.mine)
    _check(cfg)
    from hybrid_retrieval.data.open import open_data  # noqa: PLC0415
    from hybrid_retrieval.evaluation.distributed import choose_device  # noqa: PLC0415
    from hybrid_retrieval.evaluation.load_embedder import embedder_of  # noqa: PLC0415
    from hybrid_retrieval.mining.mine import mine  # noqa: PLC0415
    from hybrid_retrieval.mining.statistics import statistics_table  # noqa: PLC0415
    from hybrid_retrieval.mining.write import check_target, write_corpus  # noqa: PLC0415

    device = choose_device(str(cfg.device))
    corpora = open_data(cfg.data, cfg.paths.cache, cfg.split, benchmarks=cfg.paths.benchmarks)
    folder = Path(HydraConfig.get().runtime.output_dir)
    targets = _targets(corpora, folder, cfg.out)
    for target in targets:
        check_target(target)
    embedder = embedder_of(cfg, device)
    languages = _languages(corpora, cfg.data.languages)
    console = Console()
    for corpus, target, searched in zip(corpora, targets, languages, strict=True):
        mined = mine(
            corpus,
            embedder,
            settings,
            languages=searched,
            seed=cfg.seed,
            device=device,
            scratch=folder,
            progress=True,
        )
        write_corpus(
            corpus,
            mined.languages,
            mined.by_pair(),
            target,
            mined.statistics,
            keep_existing=settings.keep_existing,
        )
        _print_sample(mined, cfg.sample, console)
        console.print(statistics_table(corpus.name, mined.statistics))
        _warn(mined)
    sys.stdout.writelines(f"{target}\n" for target in targets)


def _check(cfg: DictConfig) -> None:
    if not cfg.model and not (cfg.embeddings.queries or cfg.embeddings.candidates):
        raise UserError(
            "mine needs model=<folder, hub id or backbone name>, for example model=e5_small_q4, or "
            "embeddings.queries=<file> and embeddings.candidates=<file>."
        )
    for name, least in (("token_budget", 1), ("seed", 0), ("sample", 0)):
        check_number(name, cfg[name], least=least, whole=True)
    check_text_lengths(cfg.data)
    check_number("cache_gb", cfg.cache_gb, least=0, above=True)
    if not isinstance(cfg.keep_embeddings, bool):
        raise UserError(f"keep_embeddings={cfg.keep_embeddings} must be true or false.")


def _languages(
    corpora: Sequence["ParallelCorpus"], asked: Sequence[str] | None
) -> list[Sequence[str] | None]:
    """Of the languages asked for, those that each data set has, as in training; None for all."""
    if asked is None:
        return [None] * len(corpora)
    there = {language for corpus in corpora for language in corpus.languages}
    if missing := sorted(set(asked) - there):
        raise UserError(
            f"No data set has data in {', '.join(missing)}: choose data.languages from "
            f"{', '.join(sorted(there))}."
        )
    for corpus in corpora:
        if asked and not set(asked) & set(corpus.languages):
            raise UserError(
                f"{corpus.name} has no data in any of {', '.join(asked)}: leave it out "
                f"(data.leave_out={corpus.name}), or choose other data.languages."
            )
    return [[language for language in asked if language in corpus.languages] for corpus in corpora]


def _targets(corpora: Sequence["ParallelCorpus"], folder: Path, out: str | None) -> list[Path]:
    """Where the data set of each corpus goes: a folder of its name, or `out` itself for a single one."""
    names = [corpus.name for corpus in corpora]
    if len(set(names)) < len(names):
        raise UserError(f"data.path names two folders {max(names, key=names.count)!r}. Rename one of them.")
    root = Path(out).absolute() if out else folder
    return [root] if out and len(corpora) == 1 else [root / name for name in names]


def _print_sample(mined: "Mined", count: int, console: Console) -> None:
    """Print some questions, evenly spread over the split, with their positives and negatives."""
    from hybrid_retrieval.mining.statistics import sample_table  # noqa: PLC0415

    corpus, codes = mined.corpus, mined.languages
    rows = np.unique(np.linspace(0, len(mined.queries) - 1, min(count, len(mined.queries))).astype(int))
    for row in rows.tolist() if count else ():
        query, positive = int(mined.queries[row]), int(mined.positives[row])
        language = codes[int(mined.has_query[row].argmax())]
        shown = [("positive", language, float(mined.positive_scores[row]), positive)]
        for place, negative in enumerate(mined.negatives[row].tolist()):
            if negative >= 0:
                found = codes[int(mined.passage_language[row, place])]
                shown.append((f"negative {place + 1}", found, float(mined.scores[row, place]), negative))
        console.print(
            sample_table(
                f"{language}: {corpus.query_text(language, query)}",
                [(w, code, score, corpus.passage_text(code, p) or "") for w, code, score, p in shown],
            )
        )


def _warn(mined: "Mined") -> None:
    """Say how many questions have too few negatives, and which setting to change."""
    from hybrid_retrieval.mining.mine import loosen  # noqa: PLC0415

    none = int(mined.statistics["negatives"]["by_count"][0])
    if none:
        Console(stderr=True).print(
            f"warning: {none:,} of {len(mined.queries):,} questions of {mined.corpus.name} have no hard "
            f"negative. {loosen(mined.statistics['filtered'])}",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
