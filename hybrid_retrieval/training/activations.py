"""What autograd keeps of a forward pass until the backward pass, measured on a few short texts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.token_batch import TokenBatch
from hybrid_retrieval.training.operations import trained_texts

Context = Callable[[], AbstractContextManager[object]]

# Texts of the three trials: the last two have the same number of tokens, and other squares.
_TRIALS = ((16,) * 2, (16,) * 4, (64,))


@dataclass(frozen=True)
class ChunkSize:
    """What the activations of one forward pass depend on.

    Args:
        tokens: that go through the transformer, padding included.
        squares: of the tokens of each text, summed.
    """

    tokens: int
    squares: int

    @classmethod
    def of(cls, lengths: Sequence[int], *, packed: bool) -> "ChunkSize":
        """Of texts of so many tokens, which are padded to the longest unless they are packed."""
        computed = lengths if packed else [max(lengths)] * len(lengths)
        return cls(sum(computed), sum(length * length for length in computed))


def chunk_sizes(batch: TrainBatch, encoder: TextEncoder) -> list[ChunkSize]:
    """The forward passes of the trained encoder in a training step."""
    return [
        ChunkSize.of(texts.sequences.lengths[rows], packed=encoder.packed)
        for texts in trained_texts(batch)
        for rows in encoder.batches(texts.sequences.lengths, texts.token_budget)
    ]


@dataclass(frozen=True)
class ActivationCost:
    """Bytes that autograd keeps of one forward pass.

    Args:
        per_chunk: whatever the texts are, such as 16-bit copies of the weights.
        per_token: of every token.
        per_square: of every pair of tokens of a text; about 0 where attention keeps no scores.
    """

    per_chunk: float
    per_token: float
    per_square: float

    def __call__(self, chunk: ChunkSize) -> float:
        """Bytes of one forward pass."""
        return self.per_chunk + self.per_token * chunk.tokens + self.per_square * chunk.squares

    def scaled(self, factor: float) -> "ActivationCost":
        """Of numbers that take `factor` times the bytes, or of a part of the layers."""
        return ActivationCost(factor * self.per_chunk, factor * self.per_token, factor * self.per_square)


def measure_activations(
    encoder: TextEncoder, tokens: Tensor, context: Context = nullcontext
) -> tuple[ActivationCost, ActivationCost]:
    """Measure on the encoder's device, with three forward passes of 32 to 64 tokens.

    The random state is left as it was. What is kept is counted by storage, without the parameters.

    Args:
        encoder: in the mode it is trained in.
        tokens: int64 (n,), any tokens of training texts; they are repeated as needed.
        context: makes what forward passes run in, such as autocast.

    Returns:
        What is kept, and what would be kept without gradient checkpointing inside the transformer; the same
        where there is none.
    """
    device = next(encoder.parameters()).device
    kept = _fit(encoder, tokens.to(device), context)
    recomputed = [module for module in encoder.modules() if "forward" in vars(module)]
    if not recomputed:
        return kept, kept
    with _recomputing_nothing(recomputed):
        return kept, _fit(encoder, tokens.to(device), context)


def _fit(encoder: TextEncoder, tokens: Tensor, context: Context) -> ActivationCost:
    devices = [tokens.device] if tokens.is_cuda else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        first, more, longer = (_saved_bytes(encoder, tokens, trial, context) for trial in _TRIALS)
    sizes = [ChunkSize.of(trial, packed=True) for trial in _TRIALS]
    per_square = max(0.0, (longer - more) / (sizes[2].squares - sizes[1].squares))
    per_token = (more - first) / (sizes[1].tokens - sizes[0].tokens)
    per_token -= per_square * (sizes[1].squares - sizes[0].squares) / (sizes[1].tokens - sizes[0].tokens)
    per_chunk = first - per_token * sizes[0].tokens - per_square * sizes[0].squares
    return ActivationCost(max(0.0, per_chunk), per_token, per_square)


def _saved_bytes(
    encoder: TextEncoder,
    tokens: Tensor,
    lengths: tuple[int, ...],
    context: Context,
) -> int:
    count = sum(lengths)
    batch = TokenBatch(tokens.repeat(-(-count // len(tokens)))[:count], lengths)
    weights = {p.untyped_storage().data_ptr() for p in chain(encoder.parameters(), encoder.buffers())}
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        # An output that its own node holds would keep the node, and through it the weights, for ever.
        return tensor.detach()

    eager = torch.compiler.set_stance("force_eager")  # compiled layers would be compiled for these texts
    with eager, saved_tensors_hooks(keep, lambda tensor: tensor), context():
        embeddings = encoder(batch)
    del embeddings  # until here its graph kept the storages, so that no address came up twice
    return sum(saved.values())


@contextmanager
def _recomputing_nothing(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Take away the `forward` that `models.layers.recompute_layers` has given to modules, for a while."""
    own = [vars(module).pop("forward") for module in modules]
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            module.forward = forward  # type: ignore[method-assign]
