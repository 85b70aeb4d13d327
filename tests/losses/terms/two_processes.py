"""Script: gradients of objectives on two processes with half the batch each, written to files.

python -m tests.losses.terms.two_processes <folder for the results>
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn import functional

from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.losses.terms.registry import TERMS, ExtraInputs

RANKS, PAIRS, NEGATIVES, SIZE = 2, 6, 2, 12
QUERY_IDS = [40, 41, 42, 43, 41, 45]
TEMPERATURE = 0.2
INFO_NCE: dict[str, dict[str, Any]] = {
    "default": {},
    "views": {"reverse": 0.5, "within_view": True},
    "margin": {"reverse": 1.0, "within_view": True, "margin": 0.05},
    "matryoshka": {"dimensions": [12, 6], "dimension_weights": [1.0, 0.5], "reverse": 1.0},
}
WEIGHTS: dict[str, dict[str, float]] = {name: {name: 0.5} for name in TERMS} | {
    "all": dict.fromkeys(TERMS, 0.5),
    "contrastive": {"teacher_alignment": 0.5},
}
ALIGNED = {"contrastive": {"teacher_alignment": {"temperature": 0.3}}}
OF_PAIRS = ("parallel_queries", "parallel_passages", "salient_passages", "passage_remainders")
SWITCHES = [(local, grad) for local in (True, False) for grad in (True, False)]


class Model(nn.Module):
    """A linear tower and an objective; its forward is the loss of a rank's share."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.tower = nn.Linear(SIZE, SIZE).double()
        self.objective = objective

    def embed(self, features: Tensor) -> Tensor:
        return functional.normalize(self.tower(features), dim=1)

    def forward(self, share: dict[str, Tensor]) -> Tensor:
        extra = ExtraInputs(
            share["query_languages"],
            share["passage_languages"],
            share["teacher_queries"],
            share["teacher_passages"],
            self.embed(share["parallel_queries"]),
            self.embed(share["parallel_passages"]),
            self.embed(share["salient_passages"]),
            self.embed(share["passage_remainders"]),
        )
        queries, passages = self.embed(share["queries"]), self.embed(share["passages"])
        ids = PairIds(share["query_ids"], share["passage_ids"])
        loss: Tensor = self.objective(queries, passages, ids, extra)
        return loss


def make(info_nce: str = "default", terms: str | None = None, local: bool = True, grad: bool = True) -> Model:
    """A model with the same weights each time; all temperatures but the learned one are fixed."""
    config = {
        "temperature": TEMPERATURE,
        "learn_temperature": True,
        "local_loss": local,
        "gather_with_grad": grad,
        "terms": WEIGHTS[terms] if terms else {},
        "term_options": {"variance": {"instances": 10}, "passage_alignment": {"temperature": 0.3}}
        | ALIGNED.get(terms or "", {}),
        **INFO_NCE[info_nce],
    }
    objective = Objective.from_config(config)
    objective.prepare(dimension=SIZE, languages=3, training_instances=10, seed=4)
    return Model(objective.double())


def share(rank: int, of: int) -> dict[str, Tensor]:
    """A rank's share of one global batch; hard negatives follow the positives of their rank.

    Ranks differ in how many pairs are negative, padded or of a language, so that means over ranks are not
    means over the batch. Passage 3 is a hard negative on one rank and a positive on the other. Pairs 1 and 4,
    of different ranks, have one query.
    """
    generator = torch.Generator().manual_seed(1)
    made = {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64)
        for name, shape in {
            "queries": (PAIRS, SIZE),
            "positives": (PAIRS, SIZE),
            "negatives": (PAIRS, NEGATIVES, SIZE),
            "parallel_queries": (PAIRS, SIZE),
            "parallel_passages": (PAIRS, SIZE),
            "salient_passages": (PAIRS, SIZE),
            "passage_remainders": (PAIRS, SIZE),
        }.items()
    }
    positive_ids = torch.arange(PAIRS)
    negative_ids = torch.tensor([[3, -1], [-1, -1], [20, 5], [21, 22], [23, 24], [0, 25]])
    languages = torch.tensor([0, 0, 1, 2, 1, 1])
    passage_languages = torch.tensor([2, 0, 0, 0, 1, 2])
    teacher = torch.randn(PAIRS * (2 + NEGATIVES), SIZE, generator=generator, dtype=torch.float64)
    teacher_queries, teacher_positives, teacher_negatives = torch.split(
        functional.normalize(teacher, dim=1), [PAIRS, PAIRS, PAIRS * NEGATIVES]
    )
    own = slice(rank * PAIRS // of, (rank + 1) * PAIRS // of)
    teacher_negatives = teacher_negatives.reshape(PAIRS, NEGATIVES, -1)[own].flatten(0, 1)
    return {
        "queries": made["queries"][own],
        "passages": torch.cat([made["positives"][own], made["negatives"][own].flatten(0, 1)]),
        **{name: made[name][own] for name in OF_PAIRS},
        "query_ids": torch.tensor(QUERY_IDS)[own],
        "passage_ids": torch.cat([positive_ids[own], negative_ids[own].flatten()]),
        "query_languages": languages[own],
        "passage_languages": torch.cat(
            [passage_languages[own], passage_languages[own].repeat_interleave(NEGATIVES)]
        ),
        "teacher_queries": teacher_queries[own],
        "teacher_passages": torch.cat([teacher_positives[own], teacher_negatives]),
    }


def gradients(model: Model, rank: int = 0, of: int = 1) -> dict[str, Tensor]:
    """Of all parameters, averaged over ranks by DDP; and the loss and the terms of this rank."""
    wrapped = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    loss = wrapped(share(rank, of))
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    values = {f"value/{name}": value for name, value in model.objective.values.items()}
    return found | values | {"loss": loss.detach()}


def _rank(rank: int, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out / 'rendezvous'}", rank=rank, world_size=RANKS)
    found = {}
    for local, grad in SWITCHES:
        for name in INFO_NCE:
            found[f"{name}-{local}-{grad}"] = gradients(make(name, None, local, grad), rank, RANKS)
    for name in WEIGHTS:
        found[name] = gradients(make(terms=name), rank, RANKS)
    torch.save(found, out / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    start_processes(_rank, (Path(sys.argv[1]),), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
