"""What a user needs to look at a batch at which training stopped: its pairs, and which are at fault."""

import json
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.nn import functional

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.losses.pair_ids import Answers
from hybrid_retrieval.models.evaluation_mode import evaluation_mode
from hybrid_retrieval.sampling.global_batch import GlobalBatch
from hybrid_retrieval.training.assemble import Parts


def write_bad_batch(
    file: Path, parts: Parts, trainer: pl.Trainer, step: int, values: dict[str, float]
) -> None:
    """Write the global batch of a step as JSON.

        {"schema": 1, "step": 412, "kind": "cross_lingual", "loss": "nan", "gradient_norm": "inf",
         "pairs": [{"dataset": "faq", "triple": 17, "id": "q17", "query_language": "de",
                    "passage_language": "en", "passage_id": "p9", "hard_negatives": [],
                    "question": "...", "passage": "...",
                    "loss": 0.31, "query_is_finite": true, "passage_is_finite": true}, ...]}

    The last three are of the weights as they are: InfoNCE of the query over the passages of the batch,
    without further options and without drop-out, and whether the embeddings are finite; a loss that is not is
    null. They are left out where the weights are divided among processes.

    Args:
        file: replaced.
        parts: of the run.
        trainer: knows precision and device.
        step: optimiser step, counted from 0.
        values: what was found, written as text, since JSON has no NaN.
    """
    batch = parts.plan[step]
    pairs: list[dict[str, Any]] = [{} for _ in range(len(batch))]
    for dataset, rows, _ in batch.by_dataset():
        corpus = parts.train[dataset]
        for row, pair in zip(rows, _pairs(parts, corpus, batch, rows.tolist()), strict=True):
            pairs[row] = pair
    if not any(hasattr(parameter, "full_tensor") for parameter in parts.model.parameters()):
        for pair, found in zip(pairs, _losses(parts, trainer, batch), strict=True):
            pair.update(found)
    content = {
        "schema": 1,
        "step": step,
        "kind": batch.kind.value,
        **{name: str(value) for name, value in values.items()},
        "pairs": pairs,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    with atomic_file(file) as new:
        new.write_text(text + "\n", encoding="utf-8")


def _pairs(parts: Parts, corpus: ParallelCorpus, batch: GlobalBatch, rows: list[int]) -> list[dict[str, Any]]:
    """Ids and texts of the pairs in these rows, all of one data set."""
    triples, languages = batch.triples[rows], parts.plan.languages
    negatives = corpus.negatives(triples, parts.data.collator.hard_negatives)
    columns = zip(
        triples.tolist(),
        corpus.row_ids(triples),
        corpus.queries(triples).tolist(),
        corpus.positives(triples).tolist(),
        negatives.tolist(),
        [languages[i] for i in batch.query_languages[rows]],
        [languages[i] for i in batch.passage_languages[rows]],
        strict=True,
    )
    return [
        {
            "dataset": corpus.name,
            "triple": triple,
            "id": row_id,
            "query_language": query_language,
            "passage_language": passage_language,
            "passage_id": corpus.passage_ids([positive])[0],
            "hard_negatives": corpus.passage_ids([n for n in of_triple if n >= 0]),
            "question": corpus.query_text(query_language, query),
            "passage": corpus.passage_text(passage_language, positive),
        }
        for triple, row_id, query, positive, of_triple, query_language, passage_language in columns
    ]


@torch.no_grad()
def _losses(parts: Parts, trainer: pl.Trainer, batch: GlobalBatch) -> list[dict[str, Any]]:
    """By pair: its loss, and whether its embeddings are finite."""
    model = parts.model
    moved = trainer.strategy.batch_to_device(parts.data.collator(batch))
    with evaluation_mode(model), trainer.precision_plugin.forward_context():
        queries, passages = model.embed(moved.queries), model.embed(moved.passages)
    labels = torch.arange(len(queries), device=queries.device)
    ids = moved.ids
    excluded = Answers(ids.query, ids.query, ids.positive).among(ids.passage) | (ids.passage == -1)
    excluded[labels, labels] = False
    logits = (queries @ passages.T / model.loss.temperature).masked_fill(excluded, -torch.inf)
    found = zip(
        functional.cross_entropy(logits, labels, reduction="none").tolist(),
        queries.isfinite().all(1).tolist(),
        passages[: len(queries)].isfinite().all(1).tolist(),
        strict=True,
    )
    return [
        {
            "loss": loss if math.isfinite(loss) else None,
            "query_is_finite": query,
            "passage_is_finite": passage,
        }
        for loss, query, passage in found
    ]
