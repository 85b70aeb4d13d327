import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertPooler

from hybrid_retrieval.models.pooling import POOLING_MODES, Dense, pool


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([5, 1, 7, 3])
    mask = (torch.arange(7)[None] < lengths[:, None]).long()
    return torch.randn(4, 7, 6, generator=generator), mask


def test_pool_equals_a_loop_over_texts(batch):
    hidden, mask = batch
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        tokens = hidden[i, :length]
        expected = {"mean": tokens.mean(dim=0), "cls": tokens[0], "max": tokens.max(dim=0).values}
        for mode in POOLING_MODES:
            torch.testing.assert_close(pool(hidden, mask, mode)[i], expected[mode])


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_padding_never_counts(batch, mode):
    hidden, mask = batch
    garbage = torch.where(mask[..., None] == 1, hidden, torch.full_like(hidden, 1e6))
    assert torch.equal(pool(hidden, mask, mode), pool(garbage, mask, mode))


@pytest.mark.parametrize("mode", POOLING_MODES)
def test_half_precision_is_pooled_in_float32(batch, mode):
    hidden, mask = batch
    pooled = pool(hidden.bfloat16(), mask, mode)
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, pool(hidden.bfloat16().float(), mask, mode), rtol=0, atol=0)


def test_unknown_mode(batch):
    with pytest.raises(ValueError, match="median"):
        pool(*batch, "median")


def test_dense_with_tanh_is_berts_pooler(batch):
    hidden, mask = batch
    pooler = BertPooler(BertConfig(hidden_size=6))
    dense = Dense(6, 6)
    dense.linear.load_state_dict(pooler.dense.state_dict())
    torch.testing.assert_close(dense(pool(hidden, mask, "cls")), pooler(hidden))


def test_dense_with_identity_is_linear(batch):
    pooled = pool(*batch, "mean")
    dense = Dense(6, 2, bias=False, activation="identity")
    torch.testing.assert_close(dense(pooled), pooled @ dense.linear.weight.T)
