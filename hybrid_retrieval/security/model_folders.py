"""Model folders that would have a library run code, or read another model than the one in the folder."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from hybrid_retrieval.errors import UserError

ADAPTER = "adapter_config.json"
INDEX = "model.safetensors.index.json"
_CONFIGURATIONS = (
    "config.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "processor_config.json",
    "preprocessor_config.json",
    "wordembedding_config.json",
)
# Classes that sentence-transformers imports by the name in a configuration, and where they may be from.
_CLASSES = {"activation_function": "torch.nn.", "tokenizer_class": "sentence_transformers."}
_DEEPEST = 20


def check_no_code(folder: Path, *, subfolders: bool = False) -> None:
    """Refuse a model that names Python of its own, kernels of a hub, or weights elsewhere.

    The libraries run none of it as long as they are called as they are here, and an option of theirs that
    changes would be enough to change that. A model is refused, not loaded without its code: it would give
    other embeddings than its authors mean.

    Args:
        folder: of the model.
        subfolders: whether to look at every folder below, too.

    Raises:
        UserError: the message names the file, and what to do.
    """
    for path in _files(folder, ADAPTER, subfolders):
        raise UserError(
            f"{path.parent} holds an adapter ({ADAPTER}), which names the model it belongs to and is not "
            "loaded. Give the folder of a whole model: merge the adapter into its backbone "
            "(PeftModel.merge_and_unload), or take the model/ that `train` wrote beside adapter/."
        )
    for name in _CONFIGURATIONS:
        for path in _files(folder, name, subfolders):
            for key in _code_keys(_read(path), _DEEPEST):
                raise UserError(
                    f"{path} has {key}, code that is not part of the libraries, and it is not run. Choose a "
                    f"model that transformers knows by itself; if this one works without, remove {key}."
                )
    for path in _files(folder, INDEX, subfolders):
        content = _read(path)
        shards = content.get("weight_map") if isinstance(content, dict) else None
        for shard in sorted({str(file) for file in shards.values()}) if isinstance(shards, dict) else ():
            plain = PurePosixPath(shard).name == shard and "\\" not in shard
            if not plain or not shard.endswith(".safetensors"):
                raise UserError(
                    f"{path} names the file {shard!r}: weights are read from .safetensors files in the same "
                    "folder alone. Save the model again with safe_serialization=True."
                )


def _code_keys(content: Any, deepest: int) -> Iterator[str]:
    """The keys of a configuration that ask for code from outside of the libraries."""
    if isinstance(content, dict) and deepest:
        for key, value in content.items():
            asks = (
                (key == "auto_map" and bool(value))
                or (key in ("trust_remote_code", "allow_all_kernels") and value is True)
                or (key.endswith("attn_implementation") and "/" in str(value))
                or (key in _CLASSES and "." in str(value) and not str(value).startswith(_CLASSES[key]))
            )
            if asks:
                yield key if isinstance(value, dict | list) else f"{key}={value}"
            yield from _code_keys(value, deepest - 1)
    elif isinstance(content, list) and deepest:
        for value in content:
            yield from _code_keys(value, deepest - 1)


def _files(folder: Path, name: str, subfolders: bool) -> Iterator[Path]:
    if subfolders:
        yield from sorted(folder.rglob(name))
    elif (folder / name).is_file():
        yield folder / name


def _read(path: Path) -> Any:
    """The content of a JSON file; None where it is damaged, which who uses it tells."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
