"""What a batch plan would train on: batch types, languages that meet, and the texts of a batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import BatchKind
from hybrid_retrieval.sampling.triples import IntArray


@dataclass(frozen=True)
class BatchCounts:
    """The first global batches of a plan, counted.

    Attributes:
        kinds: type of each batch, by step.
        monolingual_share: float64 (steps,), the probability that a batch is in one language, by step.
        languages: of the plan.
        pairs: int64 (languages, languages), pairs by query language and passage language.
        data_sets: pairs of each data set, by name.
        repeated: pairs that stand in a batch although their epoch had them elsewhere.
    """

    kinds: tuple[BatchKind, ...]
    monolingual_share: np.ndarray
    languages: tuple[str, ...]
    pairs: IntArray
    data_sets: dict[str, int]
    repeated: int

    @property
    def in_one_language(self) -> np.ndarray:
        """Bool (steps,), whether query and passage of every pair share a language."""
        return np.array([kind is not BatchKind.CROSS_LINGUAL for kind in self.kinds], dtype=bool)


def count_batches(plan: BatchPlan, steps: int) -> BatchCounts:
    """Count the global batches of steps 0 to `steps` - 1.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"{steps} steps: count at least one")
    size = len(plan.languages)
    pairs = np.zeros(size * size, dtype=np.int64)
    data_sets: Counter[str] = Counter({source.name: 0 for source in plan.sources})
    kinds, repeated = [], 0
    for batch in (plan[step] for step in range(steps)):
        kinds.append(batch.kind)
        pairs += np.bincount(batch.query_languages * size + batch.passage_languages, minlength=size * size)
        for dataset, at, _ in batch.by_dataset():
            data_sets[plan.sources[dataset].name] += len(at)
        repeated += batch.repeated
    shares = np.array([plan.monolingual_share(step) for step in range(steps)])
    return BatchCounts(
        tuple(kinds), shares, tuple(plan.languages), pairs.reshape(size, size), dict(data_sets), repeated
    )


def batch_table(
    plan: BatchPlan, corpora: Sequence[ParallelCorpus], step: int, *, pairs: int = 8, width: int = 120
) -> str:
    """The first pairs of a global batch with their texts, query and passage side by side, as an HTML table.

    Args:
        plan: of these corpora.
        corpora: in the order of the plan's sources.
        step: whose batch.
        pairs: shown.
        width: characters of a text; what is longer is cut.
    """
    batch = plan[step]
    owners = batch.row_datasets()
    rows = []
    for at in range(min(pairs, len(batch))):
        corpus, triple = corpora[int(owners[at])], batch.triples[at : at + 1]
        asked, answered = (
            plan.languages[int(own[at])] for own in (batch.query_languages, batch.passage_languages)
        )
        query = corpus.query_text(asked, int(corpus.queries(triple)[0]))
        passage = corpus.passage_text(answered, int(corpus.positives(triple)[0])) or ""
        texts = ((asked, query), (answered, passage))
        cells = "".join(f"<td>{escape(code)}</td>{_text(code, text, width)}" for code, text in texts)
        rows.append(f"<tr><td>{escape(corpus.name)}</td>{cells}</tr>")
    heads = ("data set", "language", "query", "language", "passage")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    kind = batch.kind.value.replace("_", "-")
    caption = f"<caption>Step {step}, {kind}: {len(rows)} of {len(batch)} pairs</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _text(code: str, text: str, width: int) -> str:
    shown = text if len(text) <= width else f"{text[: width - 1]}…"
    direction = language(code).direction
    side = "right" if direction == "rtl" else "left"
    return (
        f'<td lang="{escape(code, quote=True)}" dir="{direction}" style="text-align: {side}">'
        f"{escape(shown)}</td>"
    )
