"""Turn texts into embeddings: every distinct token sequence once, in batches of similar length."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_retrieval.batch_progress import shown
from hybrid_retrieval.evaluation.distributed import gather_rows, rank, world_size
from hybrid_retrieval.evaluation.embedding_cache import EmbeddingCache, encoder_key, read_or_compute
from hybrid_retrieval.evaluation.precision import arithmetic
from hybrid_retrieval.models.evaluation_mode import evaluation_mode
from hybrid_retrieval.models.token_batch import TokenBatch

if TYPE_CHECKING:
    from hybrid_retrieval.models.encoder import TextEncoder
    from hybrid_retrieval.models.text_tokenizer import TextKind


def encode_texts(
    encoder: "TextEncoder",
    texts: Sequence[str],
    kind: "TextKind",
    *,
    token_budget: int = 2048,
    precision: str = "auto",
    progress: str | None = None,
    cache: EmbeddingCache | None = None,
    distributed: bool = False,
) -> np.ndarray:
    """Encode texts with dropout off, on the device the encoder is on.

    Texts that become the same tokens, equal ones among them, get bit-identical embeddings, so that their
    scores are ties. The embeddings depend neither on the order of the texts nor on the number of processes:
    what shares a batch follows from the set of texts alone.

    Args:
        encoder: left in the mode (training or evaluation) that it was in.
        texts: in any order and with any repeats.
        kind: "query" or "passage", which decides the prefix and the greatest length.
        token_budget: bound on the tokens of a batch; padding counts where the encoder must pad.
        precision: of the matrix products, see `arithmetic`.
        progress: what to call these texts in a progress bar (a line of log every 30 s where standard error is
            no terminal); None shows nothing.
        cache: where to look for these embeddings first, and to keep them.
        distributed: whether all processes of torch's process group make this call with the same texts. Each
            encodes its share of the batches and gets all embeddings.

    Returns:
        float32 (texts, dimension).
    """
    if not texts:
        return np.empty((0, encoder.dimension), dtype=np.float32)
    distinct_texts = list(dict.fromkeys(texts))
    tokens_of = dict(zip(distinct_texts, map(tuple, encoder.tokenizer(distinct_texts, kind)), strict=True))
    # Longest first, so that running out of memory happens at once, not at the end.
    sequences = sorted(set(tokens_of.values()), key=lambda sequence: (-len(sequence), sequence))
    row_of = {sequence: row for row, sequence in enumerate(sequences)}
    device = device_of(encoder)
    dtype = arithmetic(precision, device)
    lengths = [len(sequence) for sequence in sequences]
    batches = encoder.batches(lengths, token_budget)

    def embed(batch: slice) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16),
        ):
            embedded: Tensor = encoder(TokenBatch.of(sequences[batch]).to(device))
            return embedded.float()

    def compute() -> np.ndarray:
        with evaluation_mode(encoder):
            return encode_batches(
                batches,
                embed,
                (len(sequences), encoder.dimension),
                device=device,
                sizes=[sum(lengths[batch]) for batch in batches],
                progress=progress,
                distributed=distributed,
            )

    embeddings = read_or_compute(
        cache,
        lambda: encoder_key(encoder, sequences, device=device, dtype=dtype, token_budget=token_budget),
        compute,
        (len(sequences), encoder.dimension),
        device=device,
        distributed=distributed,
    )
    return embeddings[[row_of[tokens_of[text]] for text in texts]]


def encode_batches(
    batches: Sequence[slice],
    embed: Callable[[slice], Tensor],
    shape: tuple[int, int],
    *,
    device: torch.device,
    sizes: Sequence[int],
    progress: str | None = None,
    distributed: bool = False,
) -> np.ndarray:
    """Embed batches, each process its share, and put the rows together on every process.

    Args:
        batches: slices of the rows, in order, that together are all rows. Neighbours should cost about the
            same: they are dealt to the processes in turn.
        embed: gives the float32 rows of a batch, on `device`.
        shape: of the result.
        device: where the rows are until all are there.
        sizes: what each batch costs, for the progress bar.
        progress: what to call the rows in a progress bar; None shows nothing.
        distributed: whether all processes of torch's process group make this call.

    Returns:
        float32 of that shape.
    """
    world, this = (world_size(), rank()) if distributed else (1, 0)
    rows = [sum(batch.stop - batch.start for batch in batches[r::world]) for r in range(world)]
    local, done = torch.empty((rows[this], shape[1]), dtype=torch.float32, device=device), 0
    own = zip(batches[this::world], sizes[this::world], strict=True)
    for batch in shown(own, sum(sizes[this::world]), "tokens", progress if this == 0 else None):
        count = batch.stop - batch.start
        # On a GPU this does not wait for the batch.
        local[done : done + count] = embed(batch)
        done += count
    if world == 1:
        only: np.ndarray = local.cpu().numpy()
        return only
    embeddings = np.empty(shape, dtype=np.float32)
    for r, part in enumerate(gather_rows(local, rows)):
        of_rank, done = part.cpu().numpy(), 0
        for batch in batches[r::world]:
            count = batch.stop - batch.start
            embeddings[batch] = of_rank[done : done + count]
            done += count
    return embeddings


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters; the CPU if it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
