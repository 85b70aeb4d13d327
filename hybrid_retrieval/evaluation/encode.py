"""Turn texts into embeddings: every distinct token sequence once, in batches of similar length."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from hybrid_retrieval.data.length_buckets import length_buckets, pad

if TYPE_CHECKING:
    from hybrid_retrieval.models.encoder import TextEncoder
    from hybrid_retrieval.models.text_tokenizer import TextKind

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LOG_LINES = 30.0


def encode_texts(
    encoder: "TextEncoder",
    texts: Sequence[str],
    kind: "TextKind",
    *,
    token_budget: int = 2048,
    progress: str | None = None,
) -> np.ndarray:
    """Encode texts with dropout off, on the device the encoder is on, in bf16 only where that is a GPU.

    Texts that become the same tokens, equal ones among them, get bit-identical embeddings, so that their
    scores are ties. The embeddings do not depend on the order of the texts.

    Args:
        encoder: left in the mode (training or evaluation) that it was in.
        texts: in any order and with any repeats.
        kind: "query" or "passage", which decides the prefix and the greatest length.
        token_budget: bound on the tokens of a batch, padding included.
        progress: what to call these texts in a progress bar (a line of log every 30 s where standard error is
            no terminal); None shows nothing.

    Returns:
        float32 (texts, dimension).
    """
    if not texts:
        return np.empty((0, encoder.dimension), dtype=np.float32)
    distinct_texts = list(dict.fromkeys(texts))
    tokens_of = dict(zip(distinct_texts, map(tuple, encoder.tokenizer(distinct_texts, kind)), strict=True))
    sequences = sorted(set(tokens_of.values()))
    row_of = {sequence: row for row, sequence in enumerate(sequences)}
    embeddings = np.empty((len(sequences), encoder.dimension), dtype=np.float32)
    device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))

    lengths = [len(sequence) for sequence in sequences]
    buckets = length_buckets(lengths, token_budget)
    with torch.inference_mode(), _evaluation_mode(encoder):
        for rows in _progress(buckets, [sum(lengths[r] for r in rows) for rows in buckets], progress):
            input_ids, mask = pad([sequences[row] for row in rows], encoder.tokenizer.pad_id)
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda"):
                embedded = encoder(input_ids.to(device), mask.to(device))
            embeddings[rows] = embedded.float().cpu().numpy()
    return embeddings[[row_of[tokens_of[text]] for text in texts]]


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    before = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training


def _progress(buckets: list[np.ndarray], tokens: list[int], description: str | None) -> Iterator[np.ndarray]:
    """Yield the buckets while showing how many of the tokens are done."""
    console, total = Console(stderr=True), sum(tokens)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=description is None or not console.is_terminal,
    )
    started = last_line = time.monotonic()
    done = 0
    with bar:
        task = bar.add_task(description or "", total=total)
        for bucket, count in zip(buckets, tokens, strict=True):
            yield bucket
            done += count
            bar.advance(task, count)
            now = time.monotonic()
            if bar.disable and description is not None and now - last_line >= SECONDS_BETWEEN_LOG_LINES:
                last_line = now
                log.info(
                    "%s: %d %% of %d tokens after %.0f s",
                    description,
                    100 * done // total,
                    total,
                    now - started,
                )
