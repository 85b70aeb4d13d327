import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from omegaconf import OmegaConf
from safetensors.torch import load_file

from hybrid_retrieval import config_folder as config_folder_module
from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models import hub
from hybrid_retrieval.models.backbones import (
    BackboneSpec,
    backbone_names,
    backbone_spec,
    load_backbone,
    prepare_backbone,
    spec_for,
)
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.hub import convert_to_safetensors

from .embedding import embed

# From the models' cards and their sentence-transformers files on the hub: source, pooling, query prefix.
FACTS = {
    "xlmr_base": ("FacebookAI/xlm-roberta-base", "mean", "Query: "),
    "xlmr_large": ("FacebookAI/xlm-roberta-large", "mean", "Query: "),
    "labse": ("sentence-transformers/LaBSE", "pooler", "Query: "),
    "mbert": ("google-bert/bert-base-multilingual-cased", "mean", "Query: "),
    "e5_small": ("intfloat/multilingual-e5-small", "mean", "query: "),
    "e5_base": ("intfloat/multilingual-e5-base", "mean", "query: "),
    "e5_large": ("intfloat/multilingual-e5-large", "mean", "query: "),
    "bge_m3": ("BAAI/bge-m3", "cls", ""),
    "mmbert_base": ("jhu-clsp/mmBERT-base", "mean", "Query: "),
    "minilm_l12": ("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", "mean", ""),
    "e5_small_q4": ("e5_small_q4", "mean", "query: "),
    "tiny": ("tiny", "mean", "query: "),
}


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def offline(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def put_in_cache(hub_cache: Path, hub_id: str, source: Path) -> Path:
    """What a download leaves behind: refs/main and snapshots/<commit>/."""
    root = hub_cache / f"models--{hub_id.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    return shutil.copytree(source, root / "snapshots" / ("0" * 40))


def test_the_named_backbones() -> None:
    assert backbone_names() == sorted(FACTS)
    assert (config_folder() / "backbone").is_dir()


@pytest.mark.parametrize("name", FACTS)
def test_every_file_is_a_spec(name: str) -> None:
    spec = backbone_spec(name)
    source, pooling, prefix = FACTS[name]
    assert (spec.name, spec.source, spec.pooling, spec.query_prefix) == (name, source, pooling, prefix)
    assert spec.passage_prefix == {"Query: ": "Passage: ", "query: ": "passage: ", "": ""}[prefix]
    assert spec.dropout == 0.0
    keys: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / "backbone" / f"{name}.yaml"))
    assert BackboneSpec.from_mapping(keys) == spec


def test_load_by_name_takes_the_spec_and_the_overrides(cache: Path, texts: list[str]) -> None:
    encoder = TextEncoder.load("tiny", max_query_length=12, passage_prefix="Absatz: ", pooling="cls")
    assert (encoder.name, encoder.pooling) == ("tiny", "cls")
    assert encoder.tokenizer.max_length == {"query": 12, "passage": 256}
    assert encoder.tokenizer.prefixes == {"query": "query: ", "passage": "Absatz: "}
    from_spec = load_backbone(backbone_spec("tiny"))
    assert torch.equal(embed(from_spec, texts), embed(TextEncoder.load("tiny"), texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poolng": "mean"}, "unknown key 'poolng' .did you mean pooling"),
        ({"pooling": "median"}, "backbone.pooling=median is unknown"),
        ({"dropout": 1.5}, "not a probability"),
        ({"max_query_length": "long"}, "max_query_length='long' has the wrong type"),
        ({"name": None}, "name=None has the wrong type"),
    ],
)
def test_a_wrong_spec(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BackboneSpec.from_mapping({"name": "x", "source": "tiny"} | change)


def test_a_missing_key() -> None:
    with pytest.raises(UserError, match=r"x.yaml: the key 'source' is missing"):
        BackboneSpec.from_mapping({"name": "x"}, "x.yaml")


def test_names_folders_and_hub_ids_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match=r"'e5_smal_q4'; did you mean e5_small_q4\? Named backbones: bge_m3, "
    ):
        spec_for("e5_smal_q4")
    with pytest.raises(UserError, match=r"the model folder \./runs/model does not exist"):
        spec_for("./runs/model")
    with pytest.raises(UserError, match="the model folder runs/1/model does not exist"):
        spec_for("runs/1/model")
    assert spec_for("owner/model").source == "owner/model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "tiny").mkdir()
    assert spec_for("mine") == BackboneSpec(name="mine", source="mine")
    assert spec_for("tiny") == backbone_spec("tiny")
    assert spec_for("./tiny").source == "./tiny"


def test_a_cached_hub_model_needs_no_network(
    hub_cache: Path, offline: None, cache: Path, tiny_folder: Path, texts: list[str]
) -> None:
    put_in_cache(hub_cache, "owner/model", tiny_folder)
    encoder = TextEncoder.load("owner/model")
    assert encoder.name == "owner/model"
    assert torch.equal(embed(encoder, texts), embed(TextEncoder.load(str(tiny_folder)), texts))


def test_an_unreachable_hub_fails_at_once(offline: None, cache: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(
        UserError, match=r"FacebookAI/xlm-roberta-base .*cannot be reached.*local folder.*e5_small_q4"
    ):
        TextEncoder.load("xlmr_base")
    assert time.perf_counter() - start < 2


class Response:
    """Enough of an HTTP response for the hub's exceptions."""

    headers: dict[str, str] = {}  # noqa: RUF012
    request = None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RepositoryNotFoundError, "no folder 'owner/model', and the hub has no model of that name"),
        (GatedRepoError, "gated: accept its terms"),
        (ConnectionError, "cannot be reached .no route."),
    ],
)
def test_what_the_hub_says_is_told(
    error: type[Exception], message: str, hub_cache: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ConnectionError("no route") if error is ConnectionError else error("no", response=Response())  # type: ignore[call-arg]

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(UserError, match=message):
        TextEncoder.load("owner/model")


@pytest.fixture
def pickled(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny backbone as a hub repository that has only pytorch_model.bin."""
    folder = shutil.copytree(tiny_folder, tmp_path / "pickled")
    (folder / "manifest.json").unlink()
    weights = load_file(folder / "model.safetensors")
    weights["tied.decoder"] = weights["embeddings.word_embeddings.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_model_with_a_pickle_is_converted_by_prepare_only(
    empty_cache: Path, pickled: Path, tiny: TextEncoder, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_list_files", lambda *_: {"config.json", "pytorch_model.bin"})
    monkeypatch.setattr(hub, "_download", lambda *_: pickled)
    monkeypatch.setattr(hub, "cache_folder", lambda: empty_cache)
    with pytest.raises(UserError, match=r"pickle, which is not loaded.*hybrid-retrieval prepare backbone="):
        TextEncoder.load("owner/model")
    folder = prepare_backbone("owner/model")
    assert not (folder / "pytorch_model.bin").exists()
    assert torch.equal(embed(TextEncoder.load("owner/model"), texts), embed(tiny, texts))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"0 bytes instead of .*delete .* and prepare"):
        TextEncoder.load("owner/model")


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_a_pickle_with_code_is_refused_and_not_run(pickled: Path, tmp_path: Path) -> None:
    marker = tmp_path / "code-ran"
    with (pickled / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weights": _Hostile(marker)}, file, protocol=2)
    with pytest.raises(UserError, match="not a plain file of weights") as caught:
        convert_to_safetensors(pickled, tmp_path / "converted")
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert not (tmp_path / "converted").exists()


def test_an_installation_without_configuration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        config_folder_module, "__file__", str(tmp_path / "hybrid_retrieval" / "config_folder.py")
    )
    with pytest.raises(UserError, match=r"configuration folder is missing.*Reinstall"):
        config_folder()
    (tmp_path / "conf" / "backbone").mkdir(parents=True)
    assert config_folder() == tmp_path / "conf"
    (tmp_path / "hybrid_retrieval" / "conf" / "backbone").mkdir(parents=True)
    assert config_folder() == tmp_path / "hybrid_retrieval" / "conf"


def test_prepare_tiny(cache: Path, tiny_folder: Path) -> None:
    assert prepare_backbone("tiny") == tiny_folder
