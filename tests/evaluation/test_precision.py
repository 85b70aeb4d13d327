"""The arithmetic of an evaluation: what it changes, what keeps results of two apart, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.embedding_cache import encoder_fingerprint
from hybrid_retrieval.evaluation.encode import encode_texts
from hybrid_retrieval.evaluation.load_embedder import embedder_of, load_embedder
from hybrid_retrieval.evaluation.precision import PRECISIONS, arithmetic, check_precision
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny

pytestmark = pytest.mark.usefixtures("one_thread")

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
TEXTS = ["Athens", "the capital of Greece", "Αθήνα", "巴黎位于哪条河畔？", "a"] + [
    f"{i} islands in the sea " * (1 + i % 4) for i in range(12)
]
IDS = [str(i) for i in range(len(TEXTS))]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def encoder(model: Path) -> TextEncoder:
    return TextEncoder.from_folder(model, name="tiny")


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", CPU, torch.float32),
        ("auto", CUDA, torch.bfloat16),
        ("auto", torch.device("mps"), torch.float32),
        ("float32", CUDA, torch.float32),
        ("float32", CPU, torch.float32),
        ("bfloat16", CPU, torch.bfloat16),
        ("bfloat16", CUDA, torch.bfloat16),
        ("fast", CUDA, torch.bfloat16),
        ("fast", torch.device("mps"), torch.float32),
    ],
)
def test_which_arithmetic(precision: str, device: torch.device, expected: torch.dtype) -> None:
    assert arithmetic(check_precision(precision, "precision"), device) == expected


@pytest.mark.parametrize(("multiplies", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_fast_asks_the_cpu(monkeypatch: pytest.MonkeyPatch, multiplies: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies)
    assert (arithmetic("fast", CPU), arithmetic("auto", CPU)) == (expected, torch.float32)


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("kind", ["query", "passage"])
def test_bfloat16_on_a_cpu_is_near_float32(
    monkeypatch: pytest.MonkeyPatch, encoder: TextEncoder, kind: Any, amx: bool
) -> None:
    """Whether attention is computed in it or not; embeddings stay float32 of length 1."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    exact = encode_texts(encoder, TEXTS, kind, precision="float32")

    found = encode_texts(encoder, TEXTS, kind, precision="bfloat16")

    assert found.dtype == np.float32
    cosines = (found * exact).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=0.01)
    assert 1e-5 < np.abs(found - exact).max() < 0.05
    assert np.array_equal(found, encode_texts(encoder, TEXTS[::-1], kind, precision="bfloat16")[::-1])
    assert not torch.is_autocast_enabled("cpu")


def test_auto_on_a_cpu_is_float32_to_the_bit(encoder: TextEncoder) -> None:
    """Also inside bfloat16 training, whose autocast must not reach the evaluation."""
    exact = encode_texts(encoder, TEXTS, "passage", precision="float32")

    assert np.array_equal(encode_texts(encoder, TEXTS, "passage"), exact)
    assert np.array_equal(encode_texts(encoder, TEXTS, "passage", precision="auto"), exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(encode_texts(encoder, TEXTS, "passage"), exact)


def test_the_cache_keeps_the_two_apart(encoder: TextEncoder, tmp_path: Path) -> None:
    def embedded(precision: str) -> np.ndarray:
        return EncoderEmbedder(encoder, cache=tmp_path, precision=precision).embed(IDS, TEXTS, "passage")

    exact, rounded = embedded("float32"), embedded("bfloat16")

    assert len(list(tmp_path.iterdir())) == 2
    assert not np.array_equal(exact, rounded)
    for precision, expected in (("bfloat16", rounded), ("float32", exact), ("auto", exact)):
        np.testing.assert_array_equal(embedded(precision), expected)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_kept_under_a_fingerprint_is_kept_apart(encoder: TextEncoder) -> None:
    """`alone` names the arithmetic, and computes in it."""
    prints = {}
    for precision in PRECISIONS:
        plain, prints[precision] = EncoderEmbedder(encoder, precision=precision).alone()
        expected = encode_texts(encoder, TEXTS, "query", precision=precision)
        np.testing.assert_array_equal(plain.embed(IDS, TEXTS, "query"), expected)

    assert prints["auto"] == prints["float32"] != prints["bfloat16"]
    assert prints["bfloat16"] == encoder_fingerprint(encoder, dtype=torch.bfloat16)


def test_the_setting_reaches_the_embedder(model: Path, tmp_path: Path) -> None:
    loaded = load_embedder(str(model), precision="bfloat16")
    assert isinstance(loaded, EncoderEmbedder)
    assert loaded.precision == "bfloat16"
    settings = {
        "model": str(model),
        "embeddings": {"queries": None, "candidates": None},
        "token_budget": 100,
        "keep_embeddings": False,
        "cache_gb": 1,
        "dtype": "float32",
        "precision": "bfloat16",
        "paths": {"cache": str(tmp_path)},
    }
    found = embedder_of(OmegaConf.create(settings), CPU)
    assert isinstance(found, EncoderEmbedder)
    assert found.precision == "bfloat16"
    with pytest.raises(UserError, match="precision=half is unknown; known: auto, float32, bfloat16"):
        embedder_of(OmegaConf.create({**settings, "precision": "half"}), CPU)


@pytest.mark.parametrize("value", ["float16", "bf16", 16, None, True])
def test_others_are_refused_by_the_name_of_the_option(value: object) -> None:
    with pytest.raises(UserError, match=rf"^evaluate_precision={value} is unknown; known: auto, float32"):
        check_precision(value, "evaluate_precision")
