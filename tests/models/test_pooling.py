import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertPooler

from hybrid_retrieval.models.pooling import POOLING_MODES, Dense, PoolingMode, pool

Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([5, 1, 7, 3])
    mask = (torch.arange(7)[None] < lengths[:, None]).long()
    return torch.randn(4, 7, 6, generator=generator), mask


def test_pool_equals_a_loop_over_texts(batch: Batch) -> None:
    hidden, mask = batch
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        tokens = hidden[i, :length]
        expected: dict[PoolingMode, torch.Tensor] = {
            "mean": tokens.mean(dim=0),
            "cls": tokens[0],
            "max": tokens.max(dim=0).values,
        }
        assert expected.keys() == set(POOLING_MODES)
        for mode, vector in expected.items():
            torch.testing.assert_close(pool(hidden, mask, mode)[i], vector)


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_padding_never_counts(batch: Batch, mode: PoolingMode) -> None:
    hidden, mask = batch
    garbage = torch.where(mask[..., None] == 1, hidden, torch.full_like(hidden, 1e6))
    assert torch.equal(pool(hidden, mask, mode), pool(garbage, mask, mode))


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_half_precision_is_pooled_in_float32(batch: Batch, mode: PoolingMode) -> None:
    hidden, mask = batch
    pooled = pool(hidden.bfloat16(), mask, mode)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, pool(hidden.bfloat16().float(), mask, mode), rtol=0, atol=0)


def test_unknown_mode(batch: Batch) -> None:
    with pytest.raises(ValueError, match="median"):
        pool(*batch, "median")  # type: ignore[arg-type]


def test_dense_with_tanh_is_berts_pooler(batch: Batch) -> None:
    hidden, mask = batch
    pooler = BertPooler(BertConfig(hidden_size=6))
    dense = Dense(6, 6)
    dense.linear.load_state_dict(pooler.dense.state_dict())
    torch.testing.assert_close(dense(pool(hidden, mask, "cls")), pooler(hidden))


def test_dense_with_identity_is_linear(batch: Batch) -> None:
    pooled = pool(*batch, "mean")
    dense = Dense(6, 2, bias=False, activation="identity")
    torch.testing.assert_close(dense(pooled), pooled @ dense.linear.weight.T)
