"""What a run did, in plain words: summary.md."""

import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from hybrid_retrieval.training.memory import in_bytes

SETTINGS = {
    "monolingual": "monolingual",
    "cross_lingual": "cross-lingual",
    "multilingual": "multilingual",
}


def unfinished(plan: str) -> str:
    """summary.md of a run that has not come to its end."""
    return f"# Before the first step\n\n{plan}\n\nThe run has not finished, or broke off: see `train.log`.\n"


def summary(
    cfg: DictConfig,
    run: dict[str, Any],
    metrics: dict[str, Any] | None,
    *,
    plan: str,
    speed: Mapping[str, float],
    peak_memory: int,
    sync_command: str = "",
) -> str:
    """summary.md: what was trained, how it scores, how fast it went, how to go on.

    Args:
        cfg: `conf/train.yaml`.
        run: what metrics.json tells of the training.
        metrics: of the evaluation, if there was one.
        plan: `before.before`.
        speed: medians of `Throughput`; may be empty.
        peak_memory: bytes of this process, or on its GPU; 0 if not known.
        sync_command: uploads to Weights & Biases what was logged offline; "" for nothing to upload.
    """
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
        *(
            ["- `adapter/` loads on the backbone with `PeftModel.from_pretrained`; `model/` has it merged."]
            if cfg.adapter.name != "none"
            else []
        ),
        "- `train_metrics.csv` is the training log; `metrics.json` and `per_query.parquet` the evaluation.",
        "- `hybrid-retrieval compare <run folders>` sets runs side by side.",
    ]
    if sync_command:
        lines.append(f"- `{sync_command}` uploads the run to Weights & Biases.")
    lines += ["", "## What was said before the first step", "", plan, "", "## Speed", ""]
    lines.append(" ".join([*_speed(speed), *_peak(peak_memory)]) or "Too few steps to measure.")
    return "\n".join(lines) + "\n"


def _speed(speed: Mapping[str, float]) -> list[str]:
    if not speed:
        return []
    return [
        f"On each device {speed['train/pairs_per_second']:,.1f} pairs/s and "
        f"{speed['train/tokens_per_second']:,.0f} tokens/s in the median; of what was computed "
        f"{speed['train/padding_share']:.1%} was padding; {speed['train/matrix_peak_share']:.0%} of the rate "
        "of a large matrix product on this device."
    ]


def _peak(peak_memory: int) -> list[str]:
    return [f"Training took {in_bytes(peak_memory)} of memory at most."] if peak_memory else []


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
