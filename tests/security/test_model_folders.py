"""Models of others: their pickles are not read, their code is not run, and one message says so."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.load_embedder import load_embedder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.hub import convert_to_safetensors
from hybrid_retrieval.models.tiny import prepare_tiny
from tests.conftest import Command
from tests.refusal import refused
from tests.security.malicious import pickle_bytes, python_code, save_with_torch

Damage = Callable[[Path, Path], None]


def change(file: Path, **settings: Any) -> None:
    """Set keys of a JSON file."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps(content | settings), encoding="utf-8")


def pickled_weights(model: Path, marker: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    save_with_torch(model / "pytorch_model.bin", marker, **weights)


def pickle_called_safetensors(model: Path, marker: Path) -> None:
    (model / "model.safetensors").write_bytes(pickle_bytes(marker))


def shards_that_are_pickles(model: Path, marker: Path) -> None:
    names = list(load_file(model / "model.safetensors"))
    pickled_weights(model, marker)
    change(model / "model.safetensors.index.json", weight_map=dict.fromkeys(names, "pytorch_model.bin"))


def shards_elsewhere(model: Path, marker: Path) -> None:
    names = list(load_file(model / "model.safetensors"))
    shutil.move(model / "model.safetensors", model.parent / "weights.safetensors")
    change(model / "model.safetensors.index.json", weight_map=dict.fromkeys(names, "../weights.safetensors"))


def model_with_code(model: Path, marker: Path) -> None:
    (model / "modeling_evil.py").write_text(python_code(marker), encoding="utf-8")
    change(
        model / "config.json",
        model_type="evil",
        auto_map={"AutoConfig": "modeling_evil.Config", "AutoModel": "modeling_evil.Model"},
    )


def known_model_with_code(model: Path, marker: Path) -> None:
    (model / "modeling_evil.py").write_text(python_code(marker), encoding="utf-8")
    change(model / "config.json", auto_map={"AutoModel": "modeling_evil.Model"})


def code_of_the_hub(model: Path, marker: Path) -> None:
    change(model / "config.json", auto_map={"AutoModel": "evil/repository--modeling_evil.Model"})


def tokenizer_with_code(model: Path, marker: Path) -> None:
    (model / "tokenization_evil.py").write_text(python_code(marker), encoding="utf-8")
    change(
        model / "tokenizer_config.json",
        tokenizer_class="EvilTokenizer",
        auto_map={"AutoTokenizer": [None, "tokenization_evil.EvilTokenizer"]},
    )


def slow_tokenizer_with_code(model: Path, marker: Path) -> None:
    tokenizer_with_code(model, marker)
    (model / "tokenizer.json").unlink()


def kernel_of_the_hub(model: Path, marker: Path) -> None:
    change(model / "config.json", _attn_implementation="evil/kernel")


def trusting_settings(model: Path, marker: Path) -> None:
    change(model / "sentence_bert_config.json", model_args={"trust_remote_code": True})


def adapter_beside_the_model(model: Path, marker: Path) -> None:
    change(model / "adapter_config.json", peft_type="LORA", base_model_name_or_path="evil/model")
    save_with_torch(model / "adapter_model.bin", marker)


def foreign_module(model: Path, marker: Path) -> None:
    (model / "evil_module.py").write_text(python_code(marker), encoding="utf-8")
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    modules[0]["type"] = "evil_module.Transformer"
    (model / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def foreign_last_module(model: Path, marker: Path) -> None:
    (model / "evil_module.py").write_text(python_code(marker), encoding="utf-8")
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    modules.append({"idx": len(modules), "name": "x", "path": "", "type": "evil_module.Module"})
    (model / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def module_elsewhere(model: Path, marker: Path) -> None:
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    modules[1]["path"] = "../1_Pooling"
    (model / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def foreign_activation(model: Path, marker: Path) -> None:
    (model / "evil_module.py").write_text(python_code(marker), encoding="utf-8")
    add_dense(model, "evil_module.Activation")


def function_of_torch_as_activation(model: Path, marker: Path) -> None:
    add_dense(model, "torch.utils.collect_env.main")


def dense_as_a_pickle(model: Path, marker: Path) -> None:
    add_dense(model, "torch.nn.modules.activation.ReLU")
    save_with_torch(model / "2_Dense" / "pytorch_model.bin", marker)


def add_dense(model: Path, activation: str) -> None:
    modules = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    modules[2:] = [
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    (model / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (model / "2_Dense").mkdir()
    change(
        model / "2_Dense" / "config.json",
        in_features=64,
        out_features=64,
        bias=True,
        activation_function=activation,
    )


CODE = "not run"
CASES: list[tuple[Damage, str]] = [
    (pickled_weights, "a pickle, which is not loaded"),
    (pickle_called_safetensors, "the weights in"),
    (shards_that_are_pickles, "names the file 'pytorch_model.bin'"),
    (shards_elsewhere, "names the file '../weights.safetensors'"),
    (model_with_code, CODE),
    (known_model_with_code, CODE),
    (code_of_the_hub, CODE),
    (tokenizer_with_code, CODE),
    (slow_tokenizer_with_code, CODE),
    (kernel_of_the_hub, CODE),
    (trusting_settings, CODE),
    (adapter_beside_the_model, "holds an adapter"),
    (foreign_module, CODE),
    (foreign_last_module, CODE),
    (module_elsewhere, "outside the model's folder"),
    (foreign_activation, CODE),
    (function_of_torch_as_activation, CODE),
    (dense_as_a_pickle, "is a pickle, which is not loaded"),
]


@pytest.fixture
def tiny_model(command_cache: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepare_tiny(command_cache), tmp_path / "model")


@pytest.mark.parametrize(("damage", "says"), CASES, ids=[damage.__name__ for damage, _ in CASES])
def test_a_model_of_others_is_refused(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, says: str
) -> None:
    marker = tmp_path / "marker"
    damage(tiny_model, marker)
    monkeypatch.chdir(tiny_model)  # where a folder of modules would be found
    monkeypatch.syspath_prepend(tiny_model)

    with pytest.raises(UserError, match=re.escape(says)) as refusal:
        load_embedder(str(tiny_model))

    assert "\n" not in str(refusal.value)
    assert not marker.exists()
    assert not {"evil_module", "modeling_evil", "tokenization_evil"} & set(sys.modules)


@pytest.mark.parametrize("damage", [pickled_weights, tokenizer_with_code])
def test_every_verb_that_takes_a_model_refuses_it(
    command: Command, own_data: Path, tmp_path: Path, tiny_model: Path, damage: Damage
) -> None:
    marker, run = tmp_path / "marker", f"hydra.run.dir={tmp_path / 'run'}"
    damage(tiny_model, marker)
    says = dict(CASES)[damage]
    data = ["data=jsonl", f"data.path={own_data}"]
    refused(command, "export", f"model={tiny_model}", f"output={tmp_path / 'out'}", run, says=says)
    benchmark = ["benchmark=parallel", f"benchmark.path={own_data}"]
    refused(command, "evaluate", *benchmark, f"model={tiny_model}", run, says=says)
    refused(command, "mine", *data, f"model={tiny_model}", run, says=says)
    backbone = ["backbone=tiny", f"backbone.source={tiny_model}"]
    refused(command, "train", *data, *backbone, "evaluate=false", run, says=says)

    assert not marker.exists()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run").exists()


def test_an_adapter_folder_is_not_a_model(command: Command, own_data: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    marker = tmp_path / "marker"
    adapter.mkdir()
    adapter_beside_the_model(adapter, marker)

    for model in (adapter, save_with_torch(tmp_path / "run" / "checkpoints" / "last.ckpt", marker)):
        refused(command, "export", f"model={model}", f"output={tmp_path / 'out'}", says=str(model))

    assert not marker.exists()


@pytest.mark.parametrize("content", ["objects", "a list", "bytes"])
def test_weights_of_the_hub_are_converted_without_running_anything(
    tiny_model: Path, tmp_path: Path, content: str
) -> None:
    marker, file = tmp_path / "marker", tiny_model / "pytorch_model.bin"
    (tiny_model / "model.safetensors").unlink()
    if content == "objects":
        save_with_torch(file, marker, weight=torch.zeros(2))
    elif content == "a list":
        torch.save([torch.zeros(2)], file)
    else:
        file.write_bytes(pickle_bytes(marker))

    with pytest.raises(UserError, match="not a plain file of weights") as refusal:
        convert_to_safetensors(tiny_model, tmp_path / "converted")

    assert "weights_only" not in str(refusal.value)  # torch's own message tells how to load it all the same
    assert not marker.exists()
    assert not (tmp_path / "converted").exists()


def test_the_model_as_it_was_loads(tiny_model: Path) -> None:
    assert TextEncoder.load(str(tiny_model)).dimension == 64
