"""The validation loss against a plain loop, and what it must not depend on."""

import itertools
import math
import random
from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional

from hybrid_retrieval.losses.validation_loss import ValidationLoss

DIMENSION = 8
TEMPERATURE = 0.2


@dataclass(frozen=True)
class Text:
    kind: str
    item: int
    passage: int
    language: int
    query: int = -1

    @property
    def embedding(self) -> torch.Tensor:
        number = self.item if self.kind == "query" else self.passage
        seed = 10_000 * (self.kind == "query") + 100 * number + self.language
        vector = torch.randn(DIMENSION, generator=torch.Generator().manual_seed(seed))
        return functional.normalize(vector, dim=0)


# Three languages; items 0 and 1 share passage 0; language 2 lacks some of both.
TEXTS = [
    *(Text("query", item, passage, x) for x in (0, 1) for item, passage in ((0, 0), (1, 0), (2, 1), (3, 2))),
    *(Text("passage", -1, passage, x) for x in (0, 1) for passage in (0, 1, 2)),
    *(Text("query", item, passage, 2) for item, passage in ((0, 0), (3, 2))),
    *(Text("passage", -1, passage, 2) for passage in (1, 2)),
]


def computed(texts: list[Text], batch: int = 3) -> dict[str, float]:
    metric = ValidationLoss(DIMENSION, TEMPERATURE)
    for kind in ("query", "passage"):
        own = [text for text in texts if text.kind == kind]
        for start in range(0, len(own), batch):
            part = own[start : start + batch]
            ids = ([getattr(t, name) for t in part] for name in ("item", "passage", "language"))
            known = any(text.query >= 0 for text in texts)
            query_ids = torch.tensor([t.query for t in part]) if known else None
            embeddings = torch.stack([t.embedding for t in part])
            metric.update(kind, embeddings, *map(torch.tensor, ids), query_ids=query_ids)  # type: ignore[arg-type]
    return {name: float(value) for name, value in metric.compute().items()}


def plain_loop(texts: list[Text]) -> dict[str, float]:
    pairs: dict[bool, list[float]] = {True: [], False: []}
    for x, y in itertools.product(range(3), repeat=2):
        candidates = [t for t in texts if t.kind == "passage" and t.language == y]
        losses = []
        for query in (t for t in texts if t.kind == "query" and t.language == x):
            score = {c.passage: float(query.embedding @ c.embedding) / TEMPERATURE for c in candidates}
            others = {
                t.passage for t in texts if t.kind == "query" and t.query == query.query and t.query >= 0
            } - {query.passage}
            total = sum(math.exp(s) for passage, s in score.items() if passage not in others)
            losses += [math.log(total) - s for passage, s in score.items() if passage == query.passage]
        if losses:
            pairs[x == y].append(sum(losses) / len(losses))
    mono, cross = (sum(v) / len(v) for v in (pairs[True], pairs[False]))
    return {"loss": (mono + cross) / 2, "loss_monolingual": mono, "loss_cross_lingual": cross}


def test_equals_a_plain_loop() -> None:
    assert computed(TEXTS) == pytest.approx(plain_loop(TEXTS), rel=1e-5)


def test_other_positives_of_a_query_are_no_negatives() -> None:
    """Items 0 and 3 are one query, item 3 in language 0 alone: its passage is left out in every language."""
    texts = [
        replace(text, query={0: 7, 3: 7}.get(text.item, text.item))
        for text in TEXTS
        if (text.kind, text.item, text.language) not in {("query", 3, 1), ("query", 3, 2)}
    ]

    found = computed(texts)

    assert found == pytest.approx(plain_loop(texts), rel=1e-5)
    assert found["loss"] < computed([replace(text, query=-1) for text in texts])["loss"] - 0.01


@pytest.mark.parametrize("seed", range(3))
def test_order_batching_and_repeats_do_not_matter(seed: int) -> None:
    """Under several processes texts come in another order, and samplers may repeat some."""
    texts = TEXTS + random.Random(seed).sample(TEXTS, 5)
    random.Random(seed).shuffle(texts)

    assert computed(texts, batch=1 + seed) == pytest.approx(computed(TEXTS), rel=1e-6)


def test_one_language_has_no_cross_lingual_loss() -> None:
    values = computed([text for text in TEXTS if text.language == 0])

    assert math.isnan(values["loss_cross_lingual"])
    assert values["loss"] == values["loss_monolingual"]


def test_without_data_everything_is_undefined() -> None:
    values = ValidationLoss(DIMENSION).compute()

    assert set(values) == {"loss", "loss_monolingual", "loss_cross_lingual"}
    assert all(torch.isnan(value) for value in values.values())


def test_queries_without_their_passage_are_undefined() -> None:
    values = computed([Text("query", 0, 5, 0), Text("passage", -1, 6, 0)])

    assert all(math.isnan(value) for value in values.values())


def test_reset_forgets() -> None:
    metric = ValidationLoss(DIMENSION)
    metric.update("query", torch.zeros(1, DIMENSION), *torch.zeros(3, 1, dtype=torch.int64))
    metric.reset()

    assert torch.isnan(metric.compute()["loss"])
