"""A small data set with hard negatives, its plan, and a dual encoder with the tiny backbone."""

from functools import partial
from pathlib import Path

import torch

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.collate import Collator
from hybrid_retrieval.data.datamodule import HybridDataModule
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import make_strategy
from tests.data.memory_reader import MemoryReader

LANGUAGES = ("de", "en", "th")
BATCH = 8
HARD_NEGATIVES = 2
STEPS = 3


def prepare(folder: Path) -> None:
    """Build the corpus and the backbone in a folder."""
    words = ["river", "mountain", "city", "lake", "forest", "island"]
    rows = {
        language: [
            Row(
                id=f"r{i}",
                question=f"{language} {words[i % 6]} number {i}?",
                passage=" ".join([language, words[i % 6], str(i)] * (1 + i % 5)),
                passage_id=f"p{i}",
                # One, two or none, so that the collator has to fill up.
                negatives=tuple(f"p{(i + k) % 40}" for k in range(1, 1 + i % 3)),
                split="validation" if i % 10 == 0 else "train",
            )
            for i in range(40)
        ]
        for language in LANGUAGES
    }
    build_corpus(MemoryReader(rows), folder / "corpus")
    prepare_tiny(folder)


def plan(folder: Path) -> BatchPlan:
    return BatchPlan([corpus(folder)], make_strategy("hybrid"), LANGUAGES, BATCH, seed=5)


def corpus(folder: Path, split: str = "train") -> ParallelCorpus:
    return ParallelCorpus.open(folder / "corpus", split)


def collator(folder: Path) -> Collator:
    tokenizer = TextEncoder.from_folder(prepare_tiny(folder), name="tiny").tokenizer
    return Collator([corpus(folder)], LANGUAGES, tokenizer, hard_negatives=HARD_NEGATIVES, token_budget=64)


def data_module(folder: Path) -> HybridDataModule:
    made = collator(folder)
    return HybridDataModule(
        plan(folder),
        made.corpora,
        [corpus(folder, "validation")],
        made.tokenizer,
        hard_negatives=HARD_NEGATIVES,
        token_budget=64,
    )


def dual_encoder(folder: Path, *, local_loss: bool, learn_temperature: bool = True) -> DualEncoder:
    loss = InfoNCE(0.1, learn_temperature=learn_temperature, local_loss=local_loss, gather_with_grad=True)
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny")
    return DualEncoder(encoder, loss, partial(torch.optim.AdamW, lr=1e-3), warmup=0.0, total_steps=10)
