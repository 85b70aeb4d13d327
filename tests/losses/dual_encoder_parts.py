"""A small data set with hard negatives, its plan, and a dual encoder with the tiny backbone."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.collate import Collator
from hybrid_retrieval.data.datamodule import HybridDataModule
from hybrid_retrieval.data.extra_texts import ExtraTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.salience import SalientViews, token_salience
from hybrid_retrieval.data.token_store import TokenizedTexts
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.teacher import Teacher
from hybrid_retrieval.losses.terms.registry import EXTRAS, TERMS
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import make_strategy
from tests.data.memory_reader import MemoryReader

LANGUAGES = ("de", "en", "th")
BATCH = 8
HARD_NEGATIVES = 2
STEPS = 3


def prepare(folder: Path) -> None:
    """Build the corpus and the backbone in a folder; every question has two positives."""
    words = ["river", "mountain", "city", "lake", "forest", "island"]
    rows = {
        language: [
            Row(
                id=f"r{i % 20}",
                question=f"{language} {words[i % 20 % 6]} number {i % 20}?",
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


def distance(found: dict[str, Tensor], expected: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """How far trained weights are apart, as a share of how far training took them.

    Not number by number: Adam makes a step of any size of a gradient that is rounding alone (1e-9).
    """
    assert found.keys() == expected.keys()
    apart, moved = (
        torch.cat([(other[name] - value).flatten() for name, value in expected.items()])
        for other in (found, start)
    )
    return float(apart.norm() / moved.norm())


def plan(folder: Path) -> BatchPlan:
    return BatchPlan([corpus(folder)], make_strategy("hybrid"), LANGUAGES, BATCH, seed=5)


def corpus(folder: Path, split: str = "train") -> ParallelCorpus:
    return ParallelCorpus.open(folder / "corpus", split)


def collator(folder: Path, *, terms: bool = False, teacher_language: str | None = None) -> Collator:
    """With `terms`, batches have all texts that any term needs, those of a teacher in its language."""
    tokenizer = TextEncoder.from_folder(prepare_tiny(folder), name="tiny").tokenizer
    corpora = [corpus(folder)]
    return Collator(
        corpora,
        LANGUAGES,
        tokenizer,
        hard_negatives=HARD_NEGATIVES,
        token_budget=64,
        extra=extra_texts(corpora, tokenizer, teacher_language) if terms else None,
    )


def extra_texts(
    corpora: list[ParallelCorpus], tokenizer: TextTokenizer, teacher_language: str | None = None
) -> ExtraTexts:
    """What any term needs; the teacher's tokenizer is the same, used apart."""
    tokens = TokenizedTexts(tokenizer)
    salience = token_salience(corpora, LANGUAGES, tokens, len(tokenizer.hf_tokenizer))
    return ExtraTexts(
        EXTRAS,
        corpora,
        LANGUAGES,
        tokens=tokens,
        seed=5,
        views=SalientViews(tokenizer, salience, 5, keep=0.6),
        teacher=TokenizedTexts(tokenizer),
        teacher_language=teacher_language,
        hard_negatives=HARD_NEGATIVES,
    )


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


def dual_encoder(
    folder: Path,
    *,
    local_loss: bool = True,
    learn_temperature: bool = True,
    terms: bool = False,
    grad_cache: bool = False,
    dropout: float = 0.0,
) -> DualEncoder:
    """With `terms`, the loss has all of them, and a teacher that is a copy of the encoder."""
    info_nce = InfoNCE(0.1, learn_temperature=learn_temperature, local_loss=local_loss, gather_with_grad=True)
    objective = Objective(info_nce, dict.fromkeys(TERMS, 0.3) if terms else None)
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny", dropout=dropout)
    objective.prepare(dimension=encoder.dimension, languages=len(LANGUAGES), training_instances=36, seed=5)
    return DualEncoder(
        encoder,
        objective,
        partial(torch.optim.AdamW, lr=1e-3),
        warmup=0.0,
        total_steps=10,
        grad_cache=grad_cache,
        teacher=Teacher.copy_of(encoder) if terms else None,
    )
