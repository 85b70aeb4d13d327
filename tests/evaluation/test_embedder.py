import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.embedding_files import EmbeddingFiles
from hybrid_retrieval.evaluation.library_embedder import SentenceTransformerEmbedder
from hybrid_retrieval.evaluation.load_embedder import load_embedder
from hybrid_retrieval.models.text_tokenizer import TextKind
from hybrid_retrieval.models.tiny import prepare_tiny

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["Athens", "the capital of Greece is Athens", "Αθήνα", "巴黎位于哪条河畔？", "Athens", "a b c"] * 2
IDS = [str(i) for i in range(len(TEXTS))]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def weighted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the library whose pooling TextEncoder does not have."""
    folder = tmp_path_factory.mktemp("weighted") / "model"
    shutil.copytree(tiny, folder)
    path = folder / "1_Pooling" / "config.json"
    flags = {"pooling_mode_mean_tokens": False, "pooling_mode_weightedmean_tokens": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | flags))
    return folder


@pytest.fixture
def copy(weighted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weighted, tmp_path / "copy"))


def test_a_folder_is_an_encoder(tiny: Path) -> None:
    embedder = load_embedder(str(tiny), token_budget=100, dtype="float16")
    assert isinstance(embedder, EncoderEmbedder)
    assert (embedder.name, embedder.token_budget, embedder.dtype.name) == (str(tiny), 100, "float16")


def test_what_lies_behind_the_length_asked_for_plays_no_part(tiny: Path) -> None:
    texts = ["one two three four five six seven " + end for end in ("eight", "nine")]
    kinds: tuple[TextKind, ...] = ("query", "passage")
    for kind in kinds:
        whole = load_embedder(str(tiny)).embed(["a", "b"], texts, kind)
        cut = load_embedder(str(tiny), max_query_length=8, max_passage_length=8).embed(
            ["a", "b"], texts, kind
        )
        other = {f"max_{k}_length": 8 for k in kinds if k != kind}
        unlike = load_embedder(str(tiny), **other).embed(["a", "b"], texts, kind)  # type: ignore[arg-type]
        assert not np.array_equal(whole[0], whole[1])
        np.testing.assert_array_equal(cut[0], cut[1])
        np.testing.assert_array_equal(unlike, whole)


def test_other_modules_run_in_the_library(weighted: Path) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)

    embedder = load_embedder(str(weighted))
    assert isinstance(embedder, SentenceTransformerEmbedder)
    model = SentenceTransformer(str(weighted), device="cpu")
    for kind, encode in (("query", model.encode_query), ("passage", model.encode_document)):
        found = embedder.embed(IDS, TEXTS, kind)  # type: ignore[arg-type]
        expected = encode(TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    queries, passages = (embedder.embed(IDS, TEXTS, kind) for kind in ("query", "passage"))
    assert np.abs(queries - passages).max() > 1e-3  # the prompts differ
    assert embedder.embed([], [], "query").shape == (0, queries.shape[1])


def test_order_and_repeats_do_not_matter_to_the_library(weighted: Path) -> None:
    embedder = load_embedder(str(weighted))
    assert isinstance(embedder, SentenceTransformerEmbedder)
    embedder.batch_size = 2
    expected = embedder.embed(IDS, TEXTS, "query")
    order = np.random.default_rng(0).permutation(len(TEXTS))
    found = embedder.embed(IDS, [TEXTS[i] for i in order], "query")
    np.testing.assert_array_equal(found, expected[order])
    np.testing.assert_array_equal(expected[:6], expected[6:])


def test_the_library_with_a_cache(weighted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = load_embedder(str(weighted), cache=tmp_path)
    assert isinstance(embedder, SentenceTransformerEmbedder)
    first = embedder.embed(IDS, TEXTS, "query")
    monkeypatch.setattr(embedder.model, "encode_query", None)
    monkeypatch.setattr(embedder.model, "encode_document", None)
    np.testing.assert_array_equal(embedder.embed(IDS, TEXTS, "query"), first)
    for texts, kind in ((TEXTS[1:3], "query"), (TEXTS, "passage")):
        with pytest.raises(TypeError, match="NoneType"):
            embedder.embed(IDS[: len(texts)], texts, kind)  # type: ignore[arg-type]


def test_a_pickle_is_refused(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"pytorch_model\.bin is a pickle.*safe_serialization=True"):
        load_embedder(str(copy))


@pytest.mark.parametrize("name", ["modules.json", "router_config.json"])
def test_code_of_the_model_is_refused(copy: Path, name: str) -> None:
    (copy / "own.py").write_text("raise SystemExit('ran')\n")
    if name == "modules.json":
        modules = json.loads((copy / name).read_text())
        modules[-1]["type"] = "own.Module"
        content: Any = modules
    else:
        content = {"types": {"query": "own.Module"}}
    (copy / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{name} names the class own\.Module"):
        load_embedder(str(copy))


def test_a_missing_weight_is_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    name = next(name for name in weights if "layer.1" in name and "query.weight" in name)
    del weights[name]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"lacks 1 weights.*{name}"):
        load_embedder(str(copy))


def test_damaged_weights_are_refused(copy: Path) -> None:
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot load it either"):
        load_embedder(str(copy))


def test_scores_by_distance_are_refused(copy: Path) -> None:
    path = copy / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"similarity_fn_name": "euclidean"}))
    with pytest.raises(UserError, match="euclidean distance; supported are cosine and dot"):
        load_embedder(str(copy))


def test_inner_products_are_not_normalised(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    (copy / "modules.json").write_text(json.dumps(modules[:2]))
    path = copy / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"similarity_fn_name": "dot"}))
    lengths = np.linalg.norm(load_embedder(str(copy)).embed(IDS, TEXTS, "passage"), axis=1)
    assert np.abs(lengths - 1).max() > 0.01


def test_without_the_library(weighted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r"weightedmean.*pip install 'sentence-transformers"):
        load_embedder(str(weighted))


def test_damage_is_no_reason_for_the_library(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "query.weight" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="do not fit config"):
        load_embedder(str(folder))


def test_files_take_the_place_of_a_model(tmp_path: Path) -> None:
    path = str(tmp_path / "e.npz")
    np.savez(path, ids=np.array(["a"]), embeddings=np.ones((1, 2), dtype=np.float32))
    embedder = load_embedder(None, queries=path, candidates=path)
    assert isinstance(embedder, EmbeddingFiles)
    assert embedder.name == "e.npz + e.npz"
    for arguments in ({"queries": path}, {"candidates": path}):
        with pytest.raises(UserError, match=r"embeddings\.queries.*embeddings\.candidates"):
            load_embedder(None, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no model="):
        load_embedder("tiny", queries=path, candidates=path)
    with pytest.raises(UserError, match="evaluate needs model="):
        load_embedder(None)
    with pytest.raises(UserError, match="does not exist"):
        load_embedder("/nowhere/model")
