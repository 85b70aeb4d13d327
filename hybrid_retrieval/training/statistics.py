"""What the batches of a run were made of, and how fast they went."""

import time
from collections import Counter
from typing import Any

import lightning.pytorch as pl

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.sampling.plan import BatchPlan


class BatchStatistics(pl.Callback):
    """Logs counts of the global batches since step 0, and throughput.

    The counts follow from the plan, so they are those of all ranks, and a resumed run goes on counting:
    `train/monolingual_batches`, `train/cross_lingual_batches`, `train/monolingual_share`,
    `train/repeated_pairs` and, for every ordered pair of languages, `train/pairs/X-Y`. Throughput is that of
    rank 0 since the last time it was logged: `train/pairs_per_second`, `train/tokens_per_second`,
    `train/padding_share`.

    Args:
        plan: the plan that is trained on.
        every: log every so many steps, and at the end.
    """

    def __init__(self, plan: BatchPlan, every: int) -> None:
        self.plan = plan
        self.every = every
        self._kinds: Counter[str] = Counter()
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._repeated = 0
        self._counted = 0
        self._reset_throughput()

    def _reset_throughput(self) -> None:
        self._since = time.perf_counter()
        self._tokens = self._padded = self._texts = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count what an interrupted run has seen."""
        self._count(trainer.global_step)
        self._reset_throughput()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: TrainBatch,
        batch_idx: int,
    ) -> None:
        """Count the batch; log now and then."""
        self._tokens += batch.queries.tokens + batch.passages.tokens
        self._padded += batch.queries.padded_tokens + batch.passages.padded_tokens
        self._texts += len(batch.queries)
        if trainer.global_step % self.every == 0:
            self._log(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the totals."""
        self._log(trainer)

    def totals(self) -> dict[str, float]:
        """The counts, by the name they are logged under."""
        batches = sum(self._kinds.values())
        counts: dict[str, float] = {
            "train/monolingual_batches": self._kinds["monolingual"] + self._kinds["mixed"],
            "train/cross_lingual_batches": self._kinds["cross_lingual"],
            "train/repeated_pairs": self._repeated,
        }
        if batches:
            counts["train/monolingual_share"] = counts["train/monolingual_batches"] / batches
        names = self.plan.languages
        for (query, passage), count in sorted(self._pairs.items()):
            counts[f"train/pairs/{names[query]}-{names[passage]}"] = count
        return counts

    def _count(self, steps: int) -> None:
        for step in range(self._counted, steps):
            batch = self.plan[step]
            self._kinds[batch.kind.value] += 1
            self._pairs.update(
                zip(batch.query_languages.tolist(), batch.passage_languages.tolist(), strict=True)
            )
            self._repeated += batch.repeated
        self._counted = max(self._counted, steps)

    def _log(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self._count(trainer.global_step)
        values = self.totals()
        seconds = time.perf_counter() - self._since
        if self._texts and seconds > 0:
            values["train/pairs_per_second"] = self._texts / seconds
            values["train/tokens_per_second"] = self._tokens / seconds
            values["train/padding_share"] = 1 - self._tokens / max(1, self._padded)
        self._reset_throughput()
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)
