"""`hybrid-retrieval evaluate`: any model on one benchmark or several."""

import math
import sys
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.training_record import read_record
from hybrid_retrieval.number_options import check_number


def run(cfg: DictConfig) -> None:
    """Evaluate `cfg.model` on `cfg.benchmark`, or on each of `cfg.benchmarks`.

    The last printed line is the path of metrics.json; with several benchmarks each has its own, in a folder
    of its name.

    Args:
        cfg: `conf/evaluate.yaml`.

    Raises:
        UserError: no such model or benchmark, or their files are damaged.
    """
    _check(cfg)
    from hybrid_retrieval.evaluation.benchmarks.registry import load_benchmark  # noqa: PLC0415
    from hybrid_retrieval.evaluation.dispatch import Job, carry_out  # noqa: PLC0415
    from hybrid_retrieval.evaluation.distributed import process_group, world_size  # noqa: PLC0415
    from hybrid_retrieval.evaluation.load_embedder import embedder_of  # noqa: PLC0415

    settings = _benchmarks(cfg)
    with process_group(str(cfg.device)) as device:
        benchmarks = [load_benchmark(of, cfg.paths) for of in settings]
        embedder = embedder_of(cfg, device, distributed=world_size() > 1)
        trained = read_record(Path(str(cfg.model))) if cfg.model else None
        out = Path(HydraConfig.get().runtime.output_dir)
        shards, paths = cache_folder(cfg.paths.cache) / "shards", []
        for of, benchmark in zip(settings, benchmarks, strict=True):
            folder = out / of.name if len(settings) > 1 else out
            found = carry_out(Job(embedder, benchmark, of, cfg, folder, shards, trained))
            if found is not None:
                path, results = found
                Console().print(_table(results.metrics))
                paths.append(path)
    sys.stdout.writelines(f"{path}\n" for path in paths)


def _check(cfg: DictConfig) -> None:
    check_number("token_budget", cfg.token_budget, least=1, whole=True)
    check_number("cache_gb", cfg.cache_gb, least=0, above=True)
    check_number("block_mb", cfg.block_mb, least=0, above=True, null=True)
    if not isinstance(cfg.keep_embeddings, bool) or not isinstance(cfg.trec.write, bool):
        raise UserError("keep_embeddings and trec.write must be true or false.")
    check_number("trec.depth", cfg.trec.depth, least=1, whole=True, null=True)


def _benchmarks(cfg: DictConfig) -> list[DictConfig]:
    """The configuration of each benchmark that the command line names."""
    if cfg.benchmarks is None:
        return [cfg.benchmark]
    names = [str(name) for name in cfg.benchmarks]
    if len(set(names)) < len(names):
        raise UserError(f"benchmark=[{','.join(names)}] names a benchmark twice.")
    own = [o for o in HydraConfig.get().overrides.task if o.startswith("benchmark.")]
    if own:
        raise UserError(
            f"{own[0]}: with several benchmarks their own settings are not clear. Evaluate this one alone; "
            "their files are found after hybrid-retrieval prepare benchmark=[...]."
        )
    return [compose("evaluate", overrides=[f"benchmark={name}"]).benchmark for name in names]


def _table(metrics: dict[str, Any]) -> Table:
    """The settings that the benchmark has, and its measures of language bias in words below."""
    settings = [of for of in ("monolingual", "cross_lingual", "multilingual") if metrics[of]]
    names = list(metrics[settings[0]])
    table = Table(title=f"{metrics['model']} on {metrics['benchmark']}")
    table.add_column("setting")
    for name in names:
        table.add_column(name, justify="right")
    for setting in settings:
        table.add_row(setting, *(_number(metrics[setting][name], 4) for name in names))
    bias = [
        f"{name} {_number(value, 1 if name == 'rank_distance' else 3)}"
        for name, value in metrics["language_bias"].items()
        if not name.startswith("top1_")
    ]
    if bias:
        table.caption = ", ".join(bias)
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:,.{digits}f}"
