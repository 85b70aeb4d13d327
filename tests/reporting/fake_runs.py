"""Writes run folders that look like those of a real study, from drawn numbers."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY
from hybrid_retrieval.reporting.comparison import Comparison, compare_runs

LANGUAGES = ("ar", "de", "el", "en", "zh")
TRAINED = ("ar", "de", "en", "zh")
METRICS = ("map", "map@20", "recall@1", "recall@10", "ndcg@10", "mrr@10")
SETTINGS = ("monolingual", "cross_lingual", "multilingual")
PARALLEL = dict.fromkeys(SETTINGS, METRICS)
TATOEBA = {"cross_lingual": ("accuracy", "f1")}
MIRACL = {"monolingual": ("ndcg@10", "recall@100")}
MEWSLI_X = {"multilingual": ("map@20", "mrr@20")}
NO_BIAS: tuple[str, ...] = ()
ALL_BIAS = tuple(BY_QUERY)


@dataclass(frozen=True)
class Skill:
    """How well a strategy ranks: mean AP per setting, and mean rank distance."""

    monolingual: float
    cross_lingual: float
    multilingual: float
    rank_distance: float


SKILLS = {
    "untrained": Skill(0.80, 0.64, 0.30, 478.0),
    "en_en": Skill(0.805, 0.67, 0.45, 260.0),
    "x_x": Skill(0.81, 0.70, 0.58, 150.0),
    "x_x_mono": Skill(0.82, 0.71, 0.60, 104.0),
    "x_y": Skill(0.80, 0.74, 0.65, 84.0),
    "hybrid": Skill(0.815, 0.735, 0.64, 91.0),
}


def write_run(
    folder: Path,
    strategy: str = "hybrid",
    seed: int = 1,
    *,
    alpha: float | None = None,
    languages: tuple[str, ...] = LANGUAGES,
    questions: int = 60,
    benchmark: str = "world_facts",
    model: str | None = None,
    config: dict[str, Any] | None = None,
    per_query: bool = True,
    curves: bool = True,
    noise: float = 0.25,
    settings: Mapping[str, tuple[str, ...]] = PARALLEL,
    bias: tuple[str, ...] = ("rank_distance",),
    trained: tuple[str, ...] | None = None,
) -> Path:
    """Write metrics.json and what train writes beside it; the per-query values are consistent with it.

    Args:
        settings: metrics of each setting that the benchmark has.
        bias: measures of language bias.
        trained: languages; None: those of `TRAINED` that the benchmark has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    skill, untrained = SKILLS[strategy], strategy == "untrained"
    questions_generator = np.random.default_rng(7)  # a question is as hard for one model as for another
    hardness = questions_generator.normal(0, noise, (questions, 1))
    order = list(SKILLS).index(strategy)
    generator = np.random.default_rng([seed, order])
    shape = (questions, len(languages))
    language_bonus = np.linspace(0.03, -0.05, len(languages))
    shift = generator.normal(0, 0.004)

    def draw(mean: float) -> np.ndarray:
        drawn = mean + shift + hardness + language_bonus + generator.normal(0, 0.05, shape)
        return np.clip(drawn, 0.01, 1.0)

    means = {s: getattr(skill, s) for s in settings}
    factor = {
        "map": 1.0,
        "map@20": 0.98,
        "recall@1": 0.85,
        "recall@10": 1.15,
        "ndcg@10": 1.03,
        "mrr@10": 1.01,
    }
    values = {(s, m): np.clip(draw(means[s]) * factor.get(m, 1.0), 0, 1) for s in means for m in settings[s]}
    distance = skill.rank_distance * np.exp(generator.normal(0, 0.5, shape) + hardness - 0.15)
    measured = {"rank_distance": distance, **_bias(skill, generator, shape)}
    measured = {key: measured[key] for key in bias}
    pair_bonus = generator.normal(0, 0.015, (len(languages), len(languages)))
    per_pair = {
        x: {
            y: {
                m: float(values["cross_lingual", m][:, i].mean() + pair_bonus[i, j])
                for m in settings["cross_lingual"]
            }
            for j, y in enumerate(languages)
            if i != j
        }
        for i, x in enumerate(languages)
        if "cross_lingual" in settings
    }
    run = None
    if not untrained:
        run = {
            "strategy": strategy,
            "alpha": alpha if alpha is not None else (0.5 if strategy == "hybrid" else None),
            "seed": seed, "backbone": "e5_small_q4", "data": ["world_facts"],
            "languages": ["en"] if strategy == "en_en" else trained or [x for x in TRAINED if x in languages],
            "steps": 60, "global_batch_size": 32, "train_seconds": 120.0 + seed,
        }  # fmt: skip
    metrics = {
        "schema": 1,
        "model": model or ("e5_small_q4" if untrained else "model"),
        "benchmark": benchmark,
        "counts": {
            "queries": dict.fromkeys(languages, questions),
            "candidates": dict.fromkeys(languages, questions + 5),
            "pool": len(languages) * (questions + 5),
        },
        **{s: {m: float(values[s, m].mean()) for m in settings.get(s, ())} for s in SETTINGS},
        "language_bias": {key: float(found.mean()) for key, found in measured.items()},
        "per_language": {
            x: {
                **{s: {m: float(values[s, m][:, i].mean()) for m in settings.get(s, ())} for s in SETTINGS},
                **{key: float(found[:, i].mean()) for key, found in measured.items()},
            }
            for i, x in enumerate(languages)
        },
        **(
            {"per_document_language": _document_languages(skill, languages, generator)}
            if len(bias) > 1
            else {}
        ),
        **(
            {"confusion": _confusion(skill, languages)} if len(languages) > 1 and settings == PARALLEL else {}
        ),
        "per_pair": per_pair,
        "per_query": "per_query.parquet",
        "seconds": {"encode": 1.0, "rank": 0.1},
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "platform": "Linux",
            "device": "cpu",
            "threads": 2,
        },
        "run": run,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, ensure_ascii=False), encoding="utf-8")
    if per_query:
        columns: dict[str, Any] = {
            "query_id": [f"{x}:{q}" for q in range(questions) for x in languages],
            "group": [str(q) for q in range(questions) for _ in languages],
            "language": [x for _ in range(questions) for x in languages],
            **{key: found.ravel() for key, found in measured.items()},
        }
        columns |= {f"{s}/{m}": found.ravel() for (s, m), found in values.items()}
        pq.write_table(pa.table(columns), folder / "per_query.parquet")
    if not untrained:
        hydra = folder / ".hydra"
        hydra.mkdir(exist_ok=True)
        overrides = [f"sampler={strategy}", f"seed={seed}", "data=world_facts"]
        (hydra / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides), encoding="utf-8")
        (hydra / "config.yaml").write_text(json.dumps(config or {"optim": {"lr": 2e-5}}), encoding="utf-8")
        if curves:
            _write_curves(folder / "train_metrics.csv", skill, generator)
    return folder


def write_study(
    folder: Path, strategies: tuple[str, ...] = tuple(SKILLS), seeds: int = 3, **options: Any
) -> Path:
    """A multirun folder: one run for each strategy and seed, and one of the untrained backbone."""
    for strategy in strategies:
        for seed in range(1, (1 if strategy == "untrained" else seeds) + 1):
            write_run(folder / f"{strategy}-{seed}", strategy, seed, **options)
    return folder


def _bias(skill: Skill, generator: np.random.Generator, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Values between 0 and 1 of every measure but rank distance, fairer for a smaller rank distance."""
    fair = float(np.clip(1.1 - skill.rank_distance / 500, 0, 1))
    found = {
        key: np.clip(fair + generator.normal(0, 0.2, shape), 0, 1)
        for key in ("peer", "lpr", "lang_ndcg@10", "mrc@10")
    }
    found["same_language_preference"] = 0.9 - fair - generator.random(shape) / 2
    kind = generator.choice(4, size=shape, p=[0.55 * fair, 0.3, 0.6 - 0.55 * fair, 0.1])
    first = [key for key in BY_QUERY if key.startswith("top1_")]
    return {**found, **{key: (kind == k).astype(np.float64) for k, key in enumerate(first)}}


def _confusion(skill: Skill, languages: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """More of the query's own language where the rank distance is greater; rows sum to 1."""
    own = 1 / len(languages) + (1 - 1 / len(languages)) * min(skill.rank_distance / 500, 1)
    other = (1 - own) / (len(languages) - 1)
    rows = {x: {y: own if x == y else other for y in languages} for x in languages}
    return {"top@1": rows, "top@10": rows}


def _document_languages(
    skill: Skill, languages: tuple[str, ...], generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    top = generator.dirichlet(np.full(len(languages), 4000 / skill.rank_distance))
    return {
        x: {
            "mean_rank": skill.rank_distance * (0.4 + 0.2 * i),
            "top_share@10": float(top[i]),
            "pool_share": 1 / len(languages),
        }
        for i, x in enumerate(languages)
    }


def _write_curves(file: Path, skill: Skill, generator: np.random.Generator) -> None:
    names = ["step", "epoch", "train/loss", "train/monolingual_batches", "val/loss", "val/map_monolingual",
             "val/map_cross_lingual", "val/map_multilingual", "val/rank_distance"]  # fmt: skip
    pairs = [(x, y) for x in TRAINED for y in TRAINED if x != y]
    names += [f"train/pairs/{x}-{y}" for x, y in pairs]
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, names)
        writer.writeheader()
        for step in range(1, 201):
            rise = 1 - np.exp(-step / 60)
            loss = 2.5 - 1.8 * rise + generator.normal(0, 0.12)
            writer.writerow({"step": step, "epoch": 0, "train/loss": loss, "train/monolingual_batches": 0.5})
            if step % 25 == 0:
                row = {"step": step, "epoch": 0, "val/loss": 2.4 - 1.7 * rise}
                row |= {f"train/pairs/{x}-{y}": step * (k + 1) for k, (x, y) in enumerate(pairs)}
                for s in ("monolingual", "cross_lingual", "multilingual"):
                    row[f"val/map_{s}"] = getattr(skill, s) - 0.1 * (1 - rise) + generator.normal(0, 0.004)
                row["val/rank_distance"] = skill.rank_distance * (1 + 2 * (1 - rise))
                writer.writerow(row)


def compare_one(folder: Path, **options: Any) -> Comparison:
    """The comparison of runs that are all on one benchmark."""
    (comparison,) = compare_runs([folder], **options)
    return comparison
