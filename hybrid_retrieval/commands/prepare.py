"""`hybrid-retrieval prepare`: a data set, a backbone and benchmarks, made ready once."""

import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError

if TYPE_CHECKING:
    from hybrid_retrieval.data.parallel import ParallelCorpus


def run(cfg: DictConfig) -> None:
    """Prepare the data and the backbone that `cfg` (conf/prepare.yaml) names, and say where they lie.

    With `benchmark=`, the files of those benchmarks are fetched, and data and backbone are prepared only when
    an override names one of them.

    Raises:
        UserError: a source is missing, malformed or out of reach.
    """
    chosen = _overrides()
    benchmarks = chosen.get("benchmark")
    if not benchmarks or {"data", "backbone", "sample"} & {name.partition(".")[0] for name in chosen}:
        _prepare_training(cfg)
    if benchmarks:
        names = benchmarks if isinstance(benchmarks, list) else [benchmarks]
        _prepare_benchmarks([str(name) for name in names], cfg)


def _overrides() -> dict[str, Any]:
    """The values of the overrides on the command line; a list of benchmarks is not in the configuration."""
    task = list(HydraConfig.get().overrides.task)
    return {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(task)}


def _prepare_benchmarks(names: list[str], cfg: DictConfig) -> None:
    from hybrid_retrieval.evaluation.sources.catalogue import find_source  # noqa: PLC0415
    from hybrid_retrieval.evaluation.sources.prepared import (  # noqa: PLC0415
        benchmarks_root,
        get_by_hand,
        prepare_benchmark,
    )

    root = benchmarks_root(cfg.paths.cache, cfg.paths.benchmarks)
    by_hand = []
    for name in dict.fromkeys(names):
        source = find_source(name)
        if source is None:
            sys.stdout.write(f"{name} is read from a data set (data=...): it has no files of its own\n")
        elif source.files:
            folder = prepare_benchmark(source, root, _say)
            sys.stdout.write(f"{name}: {source.contents}\n{folder}\n")
        else:
            by_hand.append(get_by_hand(source, root / name))
    if by_hand:
        raise UserError(" ".join(by_hand))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _prepare_training(cfg: DictConfig) -> None:
    """Prepare a data set and a backbone, reusing what is ready, and show what the data is like."""
    from hybrid_retrieval.cache import cache_folder  # noqa: PLC0415
    from hybrid_retrieval.data.open import prepare_data  # noqa: PLC0415
    from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus  # noqa: PLC0415
    from hybrid_retrieval.data.progress import shown_progress  # noqa: PLC0415
    from hybrid_retrieval.data.statistics.parallel_rows import parallel_rows  # noqa: PLC0415
    from hybrid_retrieval.data.statistics.remembered import corpus_statistics  # noqa: PLC0415
    from hybrid_retrieval.data.statistics.show import statistics_text  # noqa: PLC0415
    from hybrid_retrieval.models.backbones import BackboneSpec, prepare_backbone  # noqa: PLC0415
    from hybrid_retrieval.security.terminal import plain  # noqa: PLC0415

    if not isinstance(cfg.statistics, bool):
        raise UserError(f"statistics must be true or false, not {cfg.statistics!r}.")
    sample = _number(cfg.statistics_sample, "statistics_sample")
    shown = 0 if cfg.sample is None else _number(cfg.sample, "sample")
    with shown_progress() as progress:
        folders = prepare_data(
            cfg.data, cfg.paths.cache, progress, partial=True, benchmarks=cfg.paths.benchmarks
        )
        for folder in folders:
            splits = [ParallelCorpus.open(folder, split) for split in SPLITS]
            counts = ", ".join(f"{len(c):,} {split}" for split, c in zip(SPLITS, splits, strict=True))
            sys.stdout.write(
                f"{splits[0].name}: {counts} triples in {len(splits[0].languages)} languages "
                f"({_by_languages(splits)})\n{folder}\n"
            )
        backbone = prepare_backbone(cfg.backbone.name, progress.say)
        sys.stdout.write(f"{cfg.backbone.name}\n{backbone}\n")
        spec = BackboneSpec.from_mapping(OmegaConf.to_container(cfg.backbone))  # type: ignore[arg-type]
        limits = cfg.data.max_query_length, cfg.data.max_passage_length
        for folder in folders if cfg.statistics else ():
            statistics, file = corpus_statistics(
                folder, cache_folder(cfg.paths.cache), spec, limits, sample, progress
            )
            text = plain(statistics_text(statistics, _columns()))
            sys.stdout.write(f"\n{text}" + (f"{file}\n" if file else ""))
    for folder in folders if shown else ():
        lines = parallel_rows(folder, cfg.data.languages, shown, _columns())
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{name} must be a whole number of 1 or more, not {value!r}.")
    return value


def _columns() -> int:
    """Columns to fill: those of the terminal, within reason."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 60), 200)


def _by_languages(splits: "list[ParallelCorpus]") -> str:
    """How many triples exist in how many languages."""
    numbers = Counter[int]()
    for part in splits:
        for number, triples in part.triples_by_languages().items():
            numbers[number] += triples
    parts = [f"{numbers[n]:,} in {n or 'no'} language{'s' * (n != 1)}" for n in sorted(numbers, reverse=True)]
    return ", ".join(parts)
