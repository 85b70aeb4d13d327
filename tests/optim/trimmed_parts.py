"""The dual encoder of `dual_encoder_parts` with all word embeddings trained, or those of its texts."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch

from hybrid_retrieval.data.token_store import prepare_tokens
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.optim.corpus_tokens import corpus_token_ids
from hybrid_retrieval.optim.trimmed_embedding import TrimmedHandle, trim_embeddings
from hybrid_retrieval.sampling.triples import IntArray
from tests.losses import dual_encoder_parts as parts
from tests.processes import BARE_TRAINER

STEPS = 6


def encoder_of(folder: Path) -> TextEncoder:
    return TextEncoder.from_folder(prepare_tiny(folder), name="tiny")


def token_ids(folder: Path, encoder: TextEncoder) -> IntArray:
    corpora = [parts.corpus(folder)]
    store = prepare_tokens(corpora, parts.LANGUAGES, encoder.tokenizer, folder, progress=False)
    return corpus_token_ids(corpora, parts.LANGUAGES, store, hard_negatives=parts.HARD_NEGATIVES)


def dual_encoder(
    folder: Path, weight_decay: float, *, trim: bool, grad_cache: bool = False
) -> tuple[DualEncoder, TrimmedHandle | None]:
    encoder = encoder_of(folder)
    handle = trim_embeddings(encoder, token_ids(folder, encoder)) if trim else None
    model = DualEncoder(
        encoder,
        Objective(InfoNCE(0.1)),
        # A tiny eps would blow up the rounding errors of gradients that are almost zero.
        partial(torch.optim.AdamW, lr=1e-2, eps=1e-4),
        weight_decay=weight_decay,
        total_steps=STEPS,
        grad_cache=grad_cache,
    )
    return model, handle


def fit(
    folder: Path,
    model: DualEncoder,
    steps: int = STEPS,
    resume: Path | None = None,
    precision: Literal["32-true", "64-true"] = "32-true",
    **options: Any,
) -> pl.Trainer:
    """Lightning with clipping."""
    trainer = pl.Trainer(
        **BARE_TRAINER,
        precision=precision,
        max_steps=steps,
        gradient_clip_val=0.5,
        **{"limit_val_batches": 0, **options},
    )
    trainer.fit(model, datamodule=parts.data_module(folder), ckpt_path=resume, weights_only=True)
    return trainer
