"""A damaged model folder gives one clear message."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder


@pytest.fixture
def broken(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny backbone, to be damaged."""
    return shutil.copytree(tiny_folder, tmp_path / "broken")


def _drop_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _edit(name: str, **changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | changes))

    return damage


def _remote_code(folder: Path) -> None:
    (folder / "modeling.py").write_text("raise SystemExit('remote code ran')")
    changes: dict[str, object] = {
        "model_type": "new",
        "auto_map": {"AutoConfig": "modeling.C", "AutoModel": "modeling.M"},
    }
    _edit("config.json", **changes)(folder)


def _cut_json(folder: Path) -> None:
    (folder / "modules.json").write_text('[\n {"idx": 0,\n')


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "pickle only": (_pickle_only, "pytorch_model.bin, a pickle.*convert_to_safetensors"),
    "weights cut": (_cut_weights, "cannot be loaded"),
    "a tensor missing": (_drop_tensor, "of another shape, first encoder.layer.1.output.dense"),
    "another size": (_edit("config.json", hidden_size=32, num_attention_heads=2), "another shape"),
    "smaller vocabulary": (_edit("config.json", vocab_size=10), "first embeddings.word_embeddings.weight;"),
    "remote code": (_remote_code, "has auto_map, code .* is not run"),
    "another kind of model": (
        lambda f: transformers.T5Config().save_pretrained(f),
        "a t5 model, which is no text encoder",
    ),
    "a size that is text": (_edit("config.json", vocab_size="many"), "cannot be used: .*vocab_size"),
    "JSON cut": (_cut_json, r"modules.json, line 3 is not valid JSON"),
    "unknown pooling": (
        lambda f: (f / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}'),
        "lasttoken.*supported is one of mean, cls, max",
    ),
    "unknown module": (
        lambda f: (f / "modules.json").write_text(
            '[{"path": "", "type": "sentence_transformers.models.Transformer"},'
            ' {"path": "", "type": "sentence_transformers.models.LSTM"}]'
        ),
        "module 'LSTM' at position 1",
    ),
    "no padding token": (_edit("tokenizer_config.json", pad_token=None), "no pad_token"),
    "tokenizer cut": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_gives_one_clear_message(damage: str, broken: Path) -> None:
    break_it, message = DAMAGES[damage]
    break_it(broken)
    with pytest.raises(UserError, match=message) as caught:
        TextEncoder.load(str(broken))
    assert str(broken) in str(caught.value)
    assert "\n" not in str(caught.value)
