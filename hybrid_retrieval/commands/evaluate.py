"""`hybrid-retrieval evaluate`: any model on a benchmark."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from hybrid_retrieval.errors import UserError


def run(cfg: DictConfig) -> None:
    """Evaluate `cfg.model` on `cfg.benchmark`; the last printed line is the path of metrics.json.

    Args:
        cfg: `conf/evaluate.yaml`.

    Raises:
        UserError: no such model or benchmark, or their files are damaged.
    """
    if not cfg.model:
        raise UserError(
            "evaluate needs model=<folder, hub id or backbone name>, for example model=e5_small_q4."
        )
    if not isinstance(cfg.token_budget, int) or cfg.token_budget < 1:
        raise UserError(f"token_budget={cfg.token_budget} must be a whole number of at least 1.")
    import torch  # noqa: PLC0415

    from hybrid_retrieval.evaluation.benchmarks.registry import load_benchmark  # noqa: PLC0415
    from hybrid_retrieval.evaluation.embedder import EncoderEmbedder  # noqa: PLC0415
    from hybrid_retrieval.evaluation.evaluate import evaluate  # noqa: PLC0415
    from hybrid_retrieval.models.encoder import TextEncoder  # noqa: PLC0415

    benchmark = load_benchmark(cfg.benchmark, cfg.paths.cache)
    encoder = TextEncoder.load(str(cfg.model))
    device = ("cuda" if torch.cuda.is_available() else "cpu") if cfg.device == "auto" else str(cfg.device)
    try:
        encoder.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={cfg.device} cannot be used: {str(error).splitlines()[0]}") from error
    embedder = EncoderEmbedder(encoder, name=str(cfg.model), token_budget=cfg.token_budget)
    results = evaluate(embedder, benchmark, run=_trained_by(Path(str(cfg.model))))
    path = results.write(Path(HydraConfig.get().runtime.output_dir))
    Console().print(_table(results.metrics))
    sys.stdout.write(f"{path}\n")


def _trained_by(folder: Path) -> dict[str, Any] | None:
    """What `train` wrote into the folder of a model of ours."""
    from hybrid_retrieval.training.run import RUN_FILE  # noqa: PLC0415

    file = folder / RUN_FILE
    if not file.is_file():
        return None
    try:
        run: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}). Delete it, or train again.") from error
    return run


def _table(metrics: dict[str, Any]) -> Table:
    table = Table(title=f"{metrics['model']} on {metrics['benchmark']}")
    names = list(metrics["monolingual"])
    table.add_column("setting")
    for name in names:
        table.add_column(name, justify="right")
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        values = [metrics[setting][name] for name in names]
        table.add_row(setting, *("–" if v is None or math.isnan(v) else f"{v:.4f}" for v in values))
    distance = metrics["language_bias"]["rank_distance"]
    table.caption = f"rank distance {distance:,.1f}"
    return table
