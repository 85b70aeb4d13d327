"""Packed texts attend to themselves alone, whichever kernel does it."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hybrid_retrieval.models import packed_attention as module
from hybrid_retrieval.models.packed_attention import attention_kernel, packed_attention

LENGTHS = [7, 7, 7, 4, 1, 5, 5]
HEADS, SIZE = 3, 8
CUDA = torch.device("cuda", 0)


def states(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, 1, HEADS, sum(LENGTHS), SIZE, generator=generator)
    return query, key, value


def boundaries(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).int()


def packed(query: Tensor, key: Tensor, value: Tensor, lengths: list[int] = LENGTHS, **options: Any) -> Tensor:
    options |= {"cu_seq_lens_q": boundaries(lengths), "max_length_q": max(lengths)}
    output, weights = packed_attention(nn.Module(), query, key, value, None, **options)
    assert weights is None
    assert output.shape == (1, sum(lengths), query.shape[1], query.shape[-1])
    return output[0]


def by_definition(
    states: tuple[Tensor, Tensor, Tensor], scale: float, reach: int, lengths: list[int]
) -> Tensor:
    """softmax(q k / sqrt d) v of each text, where a token sees those at most `reach` away."""
    outputs = []
    for q, k, v in zip(*(torch.split(x[0], lengths, dim=1) for x in states), strict=True):
        scores = torch.einsum("hid,hjd->hij", q, k) * scale
        place = torch.arange(q.shape[1])
        far = (place[:, None] - place).abs() > reach
        outputs.append(torch.einsum("hij,hjd->ihd", scores.masked_fill(far, -torch.inf).softmax(-1), v))
    return torch.cat(outputs)


@pytest.mark.parametrize("window", [None, 1, 3, 6, 7])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_equals_the_definition(window: int | None, scale: float | None) -> None:
    reach = max(LENGTHS) if window is None else window - 1
    expected = by_definition(states(), scale or SIZE**-0.5, reach, LENGTHS)

    found = packed(*states(), scaling=scale, sliding_window=window)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_each_text_as_alone() -> None:
    whole = torch.split(packed(*states()), LENGTHS)
    parts = (torch.split(x, LENGTHS, dim=2) for x in states())
    for together, length, query, key, value in zip(whole, LENGTHS, *parts, strict=True):
        alone = packed(query, key, value, [length])
        torch.testing.assert_close(alone, together, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_has_the_right_rate_and_keeps_the_mean(dropout: float) -> None:
    """With equal scores and values of one, an output is the share of weights kept, over its expectation."""
    lengths = [50] * 30 + [40] * 30
    query = torch.zeros(1, 2, sum(lengths), 8)
    torch.manual_seed(0)
    output = packed(query, query, torch.ones_like(query), lengths=lengths, dropout=dropout)[..., 0]

    assert output.mean().item() == pytest.approx(1, abs=0.01)
    kept = output[: 50 * 30] * (1 - dropout) * 50
    torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-4)
    assert kept.var().item() == pytest.approx(50 * dropout * (1 - dropout), rel=0.1)  # binomial


def test_padded_texts_are_left_to_sdpa() -> None:
    query, key, value = (x.reshape(HEADS, 4, -1, SIZE).transpose(0, 1) for x in states())
    mask = (torch.arange(9) < torch.tensor([9, 4, 6, 2])[:, None])[:, None, None]
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    output, _ = packed_attention(nn.Module(), query, key, value, mask, sliding_window=3)
    torch.testing.assert_close(output, expected.transpose(1, 2), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("device", "dtype", "size", "dropout", "capability", "varlen", "flash", "expected"),
    [
        (CUDA, torch.bfloat16, 64, 0.0, 9, True, True, "varlen_attn"),
        (CUDA, torch.float16, 256, 0.0, 8, True, False, "varlen_attn"),
        (CUDA, torch.bfloat16, 64, 0.1, 9, True, True, "flash_attn"),
        (CUDA, torch.bfloat16, 64, 0.0, 9, False, True, "flash_attn"),
        (CUDA, torch.bfloat16, 64, 0.1, 9, True, False, "sdpa"),
        (CUDA, torch.bfloat16, 64, 0.0, 9, False, False, "sdpa"),
        (CUDA, torch.float32, 64, 0.0, 9, True, True, "sdpa"),
        (CUDA, torch.bfloat16, 64, 0.0, 7, True, True, "sdpa"),
        (CUDA, torch.bfloat16, 264, 0.0, 9, True, True, "sdpa"),
        (CUDA, torch.bfloat16, 20, 0.0, 9, True, True, "sdpa"),
        (torch.device("cpu"), torch.bfloat16, 64, 0.0, 9, True, True, "sdpa"),
    ],
)
def test_which_kernel(  # noqa: PLR0917 (parameters)
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    dtype: torch.dtype,
    size: int,
    dropout: float,
    capability: int,
    varlen: bool,
    flash: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=capability))
    monkeypatch.setattr(module, "HAS_VARLEN_ATTN", varlen)
    monkeypatch.setattr(module, "HAS_FLASH_ATTN", flash)
    assert attention_kernel(device, dtype, size, dropout) == expected


def test_torch_has_the_kernel_with_the_options_used() -> None:
    varlen = pytest.importorskip("torch.nn.attention.varlen", reason="torch before 2.10").varlen_attn
    known = inspect.signature(varlen).parameters
    assert ({"scale", "window_size"} <= known.keys()) == module.HAS_VARLEN_ATTN
    inspect.signature(varlen).bind(*range(7), **({"scale": 1.0, "window_size": (-1, -1)}))


def test_slow_attention_of_other_devices_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    module._warn_of_small_calls.cache_clear()
    packed(*states())
    assert not caplog.messages
    on_meta = [x.to("meta") for x in states()]
    for _ in range(2):
        with pytest.raises((NotImplementedError, RuntimeError)):  # no lengths can be read there
            module._attend_by_length(
                *(x[0].transpose(0, 1) for x in on_meta),
                boundaries(LENGTHS).to("meta"),
                dropout=0.0,
                scaling=None,
                reach=None,
            )
    assert len(caplog.messages) == 1
    assert "backbone.dropout=0" in caplog.text


@pytest.mark.parametrize("window", [None, 3])
def test_kernels_of_a_gpu_are_called_as_documented(
    monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    """Stand-ins with the documented signatures, which compute the definition."""
    calls = []

    def attend(given: tuple[Tensor, ...], ends: Tensor, scale: float | None, size: tuple[int, int]) -> Tensor:
        assert {x.shape for x in given} == {(sum(LENGTHS), HEADS, SIZE)}
        assert torch.equal(ends, boundaries(LENGTHS))
        assert size == ((-1, -1) if window is None else (window - 1, window - 1))
        query, key, value = (x.transpose(0, 1)[None] for x in given)
        reach = max(LENGTHS) if window is None else size[0]
        return by_definition((query, key, value), scale or SIZE**-0.5, reach, ends.diff().tolist())

    def varlen_attn(  # noqa: PLR0917 (torch 2.11)
        query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
        *, return_aux: Any = None, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
    ) -> Tensor:  # fmt: skip
        assert torch.equal(cu_seq_q, cu_seq_k)
        assert max_q == max_k == max(LENGTHS)
        calls.append(("varlen_attn", 0.0))
        return attend((query, key, value), cu_seq_q, scale, window_size)

    def flash_attn_varlen_func(  # noqa: PLR0917 (flash-attn 2)
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
        max_seqlen_k: int, dropout_p: float = 0.0, softmax_scale: float | None = None, causal: bool = False,
        window_size: tuple[int, int] = (-1, -1), deterministic: bool = True,
    ) -> Tensor:  # fmt: skip
        assert not deterministic
        assert torch.equal(cu_seqlens_q, cu_seqlens_k)
        assert max_seqlen_q == max_seqlen_k == max(LENGTHS)
        assert not causal
        calls.append(("flash_attn", dropout_p))
        return attend((q, k, v), cu_seqlens_q, softmax_scale, window_size)

    monkeypatch.setattr(module, "varlen_attn", varlen_attn)
    monkeypatch.setattr(module, "_flash_attn", lambda: flash_attn_varlen_func)
    expected = packed(*states(), sliding_window=window)
    for kernel, dropout in (("varlen_attn", 0.0), ("flash_attn", 0.1)):
        monkeypatch.setattr(module, "attention_kernel", lambda *_, kernel=kernel: kernel)
        found = packed(*states(), sliding_window=window, dropout=dropout)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert calls == [("varlen_attn", 0.0), ("flash_attn", 0.1)]


@pytest.mark.parametrize("amx", [False, True])
def test_bfloat16_without_amx_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch, amx: bool) -> None:
    """Under autocast, too, which makes bfloat16 of what it attends to; the output keeps its type."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    seen: set[tuple[torch.dtype, bool]] = set()
    attend = nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        seen.update((x.dtype, torch.is_autocast_enabled("cpu")) for x in (query, key, value))
        return attend(query, key, value, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", watched)
    weight = torch.randn(sum(LENGTHS), HEADS, SIZE, generator=torch.Generator().manual_seed(9))
    rounded = [x.bfloat16() for x in states()]
    found, gradients = {}, {}
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [x.to(dtype, copy=True).requires_grad_() for x in rounded]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            found[dtype] = packed(leaves[0], leaves[1], leaves[2], sliding_window=3)
            if dtype == torch.bfloat16:
                assert seen == {(torch.bfloat16, True) if amx else (torch.float32, False)}
        assert found[dtype].dtype == dtype
        (found[dtype].float() * weight).sum().backward()  # type: ignore[no-untyped-call]
        gradients[dtype] = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert [gradient.dtype for gradient in gradients[dtype]] == [dtype] * 3

    if not amx:  # then the only rounding is that of the output, and that of the gradients
        assert torch.equal(found[torch.bfloat16], found[torch.float32].bfloat16())
    torch.testing.assert_close(found[torch.bfloat16].float(), found[torch.float32], rtol=0.02, atol=0.02)
    for half, whole in zip(gradients[torch.bfloat16], gradients[torch.float32], strict=True):
        assert float((half.float() - whole).norm() / whole.norm()) < 0.02


def test_autocast_is_on_again_after_attention_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        query, key, value = (x.bfloat16() for x in states())
        packed(query, key, value)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
