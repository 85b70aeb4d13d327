"""A training step that runs out of memory: done again in smaller chunks, or explained."""

import gc
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.errors import RunFailedError, UserError

if TYPE_CHECKING:
    from hybrid_retrieval.models.dual_encoder import DualEncoder

_SAYINGS = re.compile(
    r"out of memory|not enough memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc",
    re.IGNORECASE,
)
_GO_ON = "With resume=true the run goes on from its last checkpoint, where there is one."

logger = logging.getLogger(__name__)


class OutOfMemoryError(RunFailedError):
    """The memory of a device does not do. The message names the batch and the settings to lower."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _SAYINGS.search(str(error)) is not None


def repeated_in_smaller_chunks(model: "DualEncoder", closure: Callable[[], Any]) -> Callable[[], Any]:
    """The forward and backward pass of a step, done again with chunks of half the size when memory runs out.

    With GradCache the largest chunk decides the memory, and the gradient is that of the whole batch whatever
    the chunks are. The step begins with the random state that it had, so that the result is that of a run
    with such chunks from this step on. It differs from that of larger chunks by rounding, and by the masks of
    drop-out where there is any, which are drawn chunk by chunk. The smaller chunks stay
    (`DualEncoder.chunk_limit`), also when the run goes on from a checkpoint.

    Not where several processes train, of which the others would wait in the middle of the step; nor where
    the largest chunk is one text.

    Args:
        model: whose `batch` the step is of.
        closure: of Lightning: forward pass, zeroed gradients, backward pass.

    Returns:
        A closure that raises `OutOfMemoryError` where no smaller chunks do.
    """

    def repeated() -> Any:
        cpu, gpus = torch.get_rng_state(), _gpu_states()
        while True:
            try:
                return closure()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = _first_line(error)
                limit = _smaller(model)
                if limit is None:
                    raise OutOfMemoryError(explanation(model, reason)) from error
            # Here the exception is gone, and with it what its traceback held.
            logger.warning(
                "out of memory (%s) at step %d: %s. The step is done again with chunks of at most %d tokens, "
                "which gives the same gradient; they stay that small. data.token_budget=%d would do so from "
                "the start, halve_chunk=false would stop instead",
                reason,
                model.trainer.global_step,
                _in_words(model),
                limit,
                limit,
            )
            model.chunk_limit = limit
            model.zero_grad(set_to_none=True)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.set_rng_state_all(gpus)
            torch.set_rng_state(cpu)

    return repeated


@contextmanager
def out_of_memory_explained(what: str, model: "DualEncoder | None" = None) -> Iterator[None]:
    """Say in one message that memory ran out in the body.

    Args:
        what: was done, and which settings to lower; ends a sentence.
        model: that trains; None elsewhere.

    Raises:
        OutOfMemoryError: in place of what torch, NumPy or Python raises.
    """
    try:
        yield
    except (UserError, RunFailedError):
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if model is not None and model.batch is not None:
            raise OutOfMemoryError(explanation(model, _first_line(error))) from error
        raise OutOfMemoryError(f"out of memory ({_first_line(error)}) {what}. {_GO_ON}") from error


def explanation(model: "DualEncoder", reason: str) -> str:
    """What ran out of memory, and the settings to lower, the best first."""
    advice = []
    limit = _halved(model)
    if not model.grad_cache:
        advice.append("loss.grad_cache=true, which gives the same result with the memory of one chunk")
    elif limit is not None:
        advice.append(f"data.token_budget={limit}, which gives the same result")
    if model.grad_cache:
        advice.append("gradient_checkpointing=true")
    advice.append("data.max_passage_length, or global_batch_size")
    return (
        f"out of memory ({reason}) at step {model.trainer.global_step}: {_in_words(model)}. To lower what a "
        f"step takes: {'; '.join(advice)}. {_GO_ON}"
    )


def _in_words(model: "DualEncoder") -> str:
    batch = model.batch
    assert batch is not None
    kind = "monolingual" if batch.monolingual else "cross-lingual"
    longest = [max(texts.sequences.lengths) for texts in (batch.queries, batch.passages)]
    chunks = "in chunks" if model.grad_cache else "all chunks at once, each"
    tokens, _ = _largest(model, batch)
    return (
        f"its {kind} batch has {len(batch.queries)} queries of up to {longest[0]} tokens and "
        f"{len(batch.passages)} passages of up to {longest[1]}, {chunks} of at most {tokens} tokens"
    )


def _smaller(model: "DualEncoder") -> int | None:
    """A bound on the tokens of a chunk that is below what they have; None where there cannot be one."""
    trainer = model.trainer
    alone = trainer.world_size == 1 and trainer.accumulate_grad_batches == 1
    return _halved(model) if model.halve_chunk and model.grad_cache and alone else None


def _halved(model: "DualEncoder") -> int | None:
    if model.batch is None:
        return None
    tokens, texts = _largest(model, model.batch)
    return tokens // 2 if texts > 1 else None


def _largest(model: "DualEncoder", batch: TrainBatch) -> tuple[int, int]:
    """Tokens of the largest chunk of a batch, padding included, and its texts."""
    found = [
        chunk.lengths
        for texts in (batch.queries, batch.passages, *batch.extra.values())
        for chunk in model.chunks(texts, model.encoder)
    ]
    packed = model.encoder.packed
    return max((sum(of) if packed else max(of) * len(of), len(of)) for of in found)


def _gpu_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
