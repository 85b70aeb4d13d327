"""What a run is about to do and what it did, in plain words."""

import math
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig

from hybrid_retrieval.training.assemble import Parts

SETTINGS = {
    "monolingual": "monolingual",
    "cross_lingual": "cross-lingual",
    "multilingual": "multilingual",
}


def before(cfg: DictConfig, parts: Parts, trainer: pl.Trainer) -> str:
    """The plan of the run in a few lines, before the first step."""
    plan = parts.plan
    parameters = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    sets = ", ".join(f"{c.name} ({len(c):,} triples)" for c in parts.train)
    epochs = cfg.trainer.max_steps / plan.steps_per_epoch
    alpha = f", alpha {cfg.sampler.alpha}" if cfg.sampler.name == "hybrid" else ""
    return (
        f"{cfg.sampler.name}{alpha}, seed {cfg.seed}: {cfg.backbone.name} ({parameters / 1e6:.1f} million "
        f"parameters, {trainer.precision}, {trainer.world_size} x "
        f"{trainer.strategy.root_device.type}) on {sets} in {len(plan.languages)} languages "
        f"({' '.join(plan.languages)}); {cfg.trainer.max_steps} steps of {cfg.global_batch_size} pairs, "
        f"{epochs:.2f} epochs"
    )


def summary(cfg: DictConfig, run: dict[str, Any], metrics: dict[str, Any] | None) -> str:
    """summary.md: what was trained, how it scores, how to go on."""
    lines = [
        f"# {run['strategy']}, seed {run['seed']}",
        "",
        f"`{run['backbone']}` trained on {', '.join(run['data'])} in {len(run['languages'])} languages "
        f"({', '.join(run['languages'])}): {run['steps']} steps of {run['global_batch_size']} pairs in "
        f"{run['train_seconds']:.0f} s.",
        "",
    ]
    if metrics is not None:
        lines += [
            f"On `{metrics['benchmark']}`, {sum(metrics['counts']['queries'].values()):,} queries in "
            f"{len(metrics['counts']['queries'])} languages, {metrics['counts']['pool']:,} candidates:",
            "",
            "| setting | mAP | R@1 | R@10 | nDCG@10 |",
            "| --- | --- | --- | --- | --- |",
        ]
        for key, title in SETTINGS.items():
            values = [metrics[key][name] for name in ("map", "recall@1", "recall@10", "ndcg@10")]
            lines.append(f"| {title} | " + " | ".join(_number(v) for v in values) + " |")
        distance = metrics["language_bias"]["rank_distance"]
        lines += ["", f"Rank distance {_number(distance, 1)} (lower is less language bias).", ""]
    lines += [
        "- `model/` loads with `SentenceTransformer(folder)` and `hybrid-retrieval evaluate model=<folder>`.",
        "- `train_metrics.csv` is the training log; `metrics.json` and `per_query.parquet` the evaluation.",
        "- `hybrid-retrieval compare <run folders>` sets runs side by side.",
    ]
    if cfg.logger.wandb is not None and cfg.logger.wandb.mode == "offline":
        lines.append("- `wandb sync wandb/offline-run-*` uploads the run to Weights & Biases.")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
