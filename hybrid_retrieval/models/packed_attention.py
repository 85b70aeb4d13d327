"""Attention within texts that are laid one after another, without padding between them (packing).

The function here takes the place of transformers' `sdpa` under the name `PACKED_ATTENTION`. A model that is
called with `cu_seq_lens_q` and `max_length_q`, the names that transformers uses for flash attention, hands
them down to it, and every text attends to itself alone. A model that is called with an attention mask gets
what `sdpa` gives.

Three kernels do the work:

- `varlen_attn` of `torch.nn.attention.varlen` on a GPU, for float16 and bfloat16 without drop-out;
- `flash_attn_varlen_func` of flash-attn, where installed, on a GPU, with drop-out;
- `scaled_dot_product_attention` anywhere else. Neighbours of equal length make one batch, so that nothing is
  padded and nothing masked. It is called once a length: cheap on a CPU, slow on a GPU. On a CPU without AMX
  it computes in float32: the gradient of its bfloat16 form takes ten times as long there.

The two GPU kernels are written from their documentation; the project's tests, which have no GPU, check only
which one is chosen and with what it is called.
"""

import importlib.util
import logging
from collections.abc import Callable
from functools import cache
from inspect import signature
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

PACKED_ATTENTION = "hybrid_retrieval_packed"

Kernel = Literal["varlen_attn", "flash_attn", "sdpa"]

# Of both flash kernels: Ampere or later, and heads of at most 256 values, a multiple of 8.
LOWEST_CAPABILITY = 8
LARGEST_HEAD = 256
# torch 2.10 has the kernel without these options.
HAS_VARLEN_ATTN = (
    varlen_attn is not None and {"scale", "window_size"} <= signature(varlen_attn).parameters.keys()
)
HAS_FLASH_ATTN = importlib.util.find_spec("flash_attn") is not None


def packed_attention(  # noqa: PLR0917 (transformers calls it so)
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of packed texts, or of padded ones: an attention function of transformers.

    Args:
        module: the attention layer.
        query: (1, heads, tokens, head size), the texts one after another; padded, (texts, heads, t, size).
        key: as `query`.
        value: as `query`.
        attention_mask: of padded texts; packed ones need none.
        dropout: probability that an attention weight is dropped.
        scaling: factor on the scores; None is head size to the power of -1/2.
        sliding_window: a token sees those less than this many tokens away; None: all of its text.
        cu_seq_lens_q: int32 (texts + 1,), where each packed text begins and the last one ends; None says that
            texts are padded.
        max_length_q: tokens of the longest text.
        others: what else transformers hands to attention functions.

    Returns:
        (1, tokens, heads, head size), and None for the attention weights.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return output
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))  # (tokens, heads, head size)
    reach = None if sliding_window is None else sliding_window - 1
    kernel = attention_kernel(q.device, q.dtype, q.shape[-1], dropout)
    if kernel == "sdpa":
        attended = _attend_by_length(q, k, v, cu_seq_lens_q, dropout=dropout, scaling=scaling, reach=reach)
    else:
        ends = (cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
        window = (-1, -1) if reach is None else (reach, reach)
        if kernel == "varlen_attn":
            attended = varlen_attn(q, k, v, *ends, scale=scaling, window_size=window)
        else:
            attended = _flash_attn()(
                *(q, k, v, *ends),
                dropout_p=dropout,
                softmax_scale=scaling,
                window_size=window,
                deterministic=torch.are_deterministic_algorithms_enabled(),
            )
    return attended[None], None


def attention_kernel(device: torch.device, dtype: torch.dtype, head_size: int, dropout: float) -> Kernel:
    """Which kernel attends within packed texts.

    Args:
        device: of the tensors.
        dtype: of queries, keys and values.
        head_size: values of a head.
        dropout: of the attention weights.
    """
    flash = (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and head_size <= LARGEST_HEAD
        and head_size % 8 == 0
        and torch.cuda.get_device_properties(device).major >= LOWEST_CAPABILITY
    )
    if flash and not dropout and HAS_VARLEN_ATTN:
        return "varlen_attn"
    if flash and HAS_FLASH_ATTN:
        return "flash_attn"
    return "sdpa"


@torch.compiler.disable  # type: ignore[untyped-decorator] # it would be compiled anew for all lengths
def _attend_by_length(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    boundaries: Tensor,
    *,
    dropout: float,
    scaling: float | None,
    reach: int | None,
) -> Tensor:
    """One call for each run of texts of equal length; all (tokens, heads, head size)."""
    if query.device.type != "cpu":
        _warn_of_small_calls(query.device.type)
    elif query.dtype == torch.bfloat16 and not torch.cpu._is_amx_tile_supported():
        with torch.autocast("cpu", enabled=False):  # which would make bfloat16 of them again
            q, k, v = query.float(), key.float(), value.float()
            whole: Tensor = _attend_by_length(
                q, k, v, boundaries, dropout=dropout, scaling=scaling, reach=reach
            )
        return whole.to(query.dtype)
    runs = [(length, len(list(same))) for length, same in groupby(boundaries.diff().tolist())]
    sizes = [length * count for length, count in runs]
    attended = []
    # `split` and `cat` have one backward pass each; slices would make a gradient of full size for every run.
    parts = (torch.split(states, sizes) for states in (query, key, value))
    for (length, count), *states in zip(runs, *parts, strict=True):
        q, k, v = (part.unflatten(0, (count, length)).transpose(1, 2) for part in states)
        of_run = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=_band(length, reach, query.device),
            dropout_p=dropout,
            scale=scaling,
        )  # (count, heads, length, head size)
        attended.append(of_run.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended)


@cache
def _warn_of_small_calls(device: str) -> None:
    logger.warning(
        "attention on %s is computed for one length of text after another, which is slow: its kernels for "
        "packed texts need trainer.precision=bf16-mixed, a GPU of compute capability 8.0, and "
        "backbone.dropout=0 or the package flash-attn",
        device,
    )


def _band(length: int, reach: int | None, device: torch.device) -> Tensor | None:
    """Which tokens see which, bool (length, length); None where all see all."""
    if reach is None or length <= reach + 1:
        return None
    place = torch.arange(length, device=device)
    return (place[:, None] - place).abs() <= reach


def _flash_attn() -> Callable[..., Tensor]:
    from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found] # noqa: PLC0415 (optional)

    function: Callable[..., Tensor] = flash_attn_varlen_func
    return function


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, sdpa_mask)
