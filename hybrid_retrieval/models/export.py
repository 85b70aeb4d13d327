"""The files that make a model folder a sentence-transformers model, written and read.

A folder holds the transformer (at its root, or in the subfolder that modules.json names), modules.json,
sentence_bert_config.json, N_Pooling, N_Dense and N_Normalize, and config_sentence_transformers.json with the
prompts. Python code named in these files is never imported.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.pooling import POOLING_MODES, Activation, Dense, PoolingMode
from hybrid_retrieval.models.text_tokenizer import TextKind

KINDS: tuple[TextKind, ...] = get_args(TextKind)
ACTIVATIONS: dict[str, Activation] = {
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.linear.Identity": "identity",
}
POOLING_FLAGS: dict[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class EncoderLayout:
    """What turns a transformer into a text encoder.

    Attributes:
        pooling: how token vectors become one vector.
        prefixes: text before every query and passage; empty when the folder names no prompts.
        max_length: tokens after which a query or passage is cut; empty when the folder does not say.
        transformer: the subfolder of the transformer, "" for the root.
        dense: subfolders of Dense modules, in order of application.
    """

    pooling: PoolingMode = "mean"
    prefixes: Mapping[TextKind, str] = field(default_factory=dict)
    max_length: Mapping[TextKind, int] = field(default_factory=dict)
    transformer: str = ""
    dense: tuple[str, ...] = ()


def write_layout(
    folder: Path,
    layout: EncoderLayout,
    hidden: int,
    dense: Sequence[Dense] = (),
    *,
    pooler_dropped: bool = True,
) -> None:
    """Write the sentence-transformers files beside a transformer at the root of `folder`.

    sentence-transformers knows one length for all texts: the larger of the two is stated there, and both in
    a section of our own that it ignores.

    Args:
        folder: an existing folder.
        layout: pooling, prefixes and lengths; its `transformer` and `dense` are not used.
        hidden: dimension of the token vectors.
        dense: the modules applied after pooling.
        pooler_dropped: whether the transformer is of a kind that has a pooling layer, and was saved without
            it; said so, sentence-transformers does not warn of missing weights.
    """
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [(f"{2 + i}_Dense", "Dense") for i in range(len(dense))]
    modules += [(f"{2 + len(dense)}_Normalize", "Normalize")]
    _write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{module}"}
            for i, (path, module) in enumerate(modules)
        ],
    )
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": max(layout.max_length.values()), "do_lower_case": False}
        | ({"model_args": {"add_pooling_layer": False}} if pooler_dropped else {}),
    )
    pooling = {flag: mode == layout.pooling for flag, mode in POOLING_FLAGS.items()}
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": hidden, **pooling, "include_prompt": True},
    )
    names = {activation: path for path, activation in ACTIVATIONS.items()}
    for i, module in enumerate(dense):
        linear = module.linear
        target = folder / f"{2 + i}_Dense"
        config = {
            "in_features": linear.in_features,
            "out_features": linear.out_features,
            "bias": linear.bias is not None,
            "activation_function": names[module.activation],
        }
        _write_json(target / "config.json", config)
        weights = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
        save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (folder / modules[-1][0]).mkdir()
    prompts = {"query": layout.prefixes["query"], "passage": layout.prefixes["passage"]}
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": prompts | {"document": prompts["passage"]},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
            "hybrid_retrieval": {"max_length": dict(layout.max_length)},
        },
    )


def read_layout(folder: Path) -> EncoderLayout | None:
    """Read the sentence-transformers files of a folder.

    Returns:
        None when the folder has no modules.json.

    Raises:
        UserError: a file is malformed, or asks for something other than Transformer, Pooling (cls, mean or
            max), Dense (tanh or identity) and Normalize.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return None
    transformer, pooling, dense = None, None, []
    try:
        modules = [(str(m["type"]), str(m["path"])) for m in _read_json(path)]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a list of modules with a type and a path: {error!r}") from error
    for position, (name, subfolder) in enumerate(modules):
        if not name.startswith("sentence_transformers."):
            raise UserError(f"{path} names the class {name}, code of the model's own, which is not run")
        if Path(subfolder).is_absolute() or ".." in Path(subfolder).parts:
            raise UserError(f"{path} has a module in {subfolder}, which is outside the model's folder")
        module = name.rpartition(".")[2]
        if module == "Transformer" and position == 0:
            transformer = subfolder
        elif module == "Pooling" and position == 1:
            pooling = _read_pooling(folder / subfolder / "config.json")
        elif module == "Dense" and position >= 2:
            dense.append(subfolder)
        elif not (module == "Normalize" and position == len(modules) - 1):
            raise UserError(
                f"{path} has the module {module!r} at position {position}; supported are Transformer, "
                "Pooling, Dense (any number) and Normalize, in this order"
            )
    if transformer is None or pooling is None:
        raise UserError(f"{path} must name a Transformer and a Pooling module")
    prefixes, max_length = _read_texts(folder, transformer)
    return EncoderLayout(pooling, prefixes, max_length, transformer, tuple(dense))


def read_dense(folder: Path) -> Dense:
    """Load a Dense module from its config.json and model.safetensors.

    Raises:
        UserError: unknown activation, a residual connection, missing or mismatching weights.
    """
    path = folder / "config.json"
    config = _read_json(path)
    activation = ACTIVATIONS.get(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if activation is None or config.get("use_residual"):
        raise UserError(f"{path}: supported is a linear layer followed by one of {', '.join(ACTIVATIONS)}")
    try:
        dense = Dense(config["in_features"], config["out_features"], config.get("bias", True), activation)
        dense.load_state_dict(load_file(folder / "model.safetensors"))
    except (KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder} holds no usable Dense module (config.json, model.safetensors): {error}"
        ) from error
    return dense.float()


def check_model_target(folder: Path) -> None:
    """Check that a model may be written to a folder: a new or empty one, or one that holds a model.

    Raises:
        UserError: it holds something else.
    """
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / "config.json").is_file())
    ):
        raise UserError(f"{folder} exists and is not a model folder; choose another folder to save to")


def weights_to_save(transformer: nn.Module) -> dict[str, Tensor]:
    """The weights that a saved model should have, by name.

    Args:
        transformer: its word embeddings may be trimmed for training (`optim.trimmed_embedding`); a module
            with `full_matrix` and `token_ids` stands for an embedding of that matrix.

    Returns:
        The state dict, in which every embedding is whole.
    """
    state: dict[str, Tensor] = transformer.state_dict()
    for name, module in transformer.named_modules():
        if (full_matrix := getattr(module, "full_matrix", None)) is not None:
            state[f"{name}.weight"] = full_matrix()
            del state[f"{name}.token_ids"]
    return state


def write_tokenizer_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write tokenizer_config.json so that tokenizer.json is used as it is by transformers 4 and 5."""
    _write_json(folder / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    config: dict[str, Any] = _read_json(folder / "tokenizer_config.json")
    return config


def _read_pooling(path: Path) -> PoolingMode:
    config = _read_json(path)
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        modes = [modes] if isinstance(modes, str) else list(modes)
    else:
        modes = [mode for flag, mode in POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    if len(modes) != 1 or modes[0] not in POOLING_MODES:
        raise UserError(f"{path} asks for pooling {modes}; supported is one of {', '.join(POOLING_MODES)}")
    if not config.get("include_prompt", True):
        raise UserError(f"{path} has include_prompt false, which is not supported: prompts are always pooled")
    mode: PoolingMode = modes[0]
    return mode


def _read_texts(folder: Path, transformer: str) -> tuple[dict[TextKind, str], dict[TextKind, int]]:
    path = folder / "config_sentence_transformers.json"
    config = _read_json(path) if path.is_file() else {}
    prompts = config.get("prompts") or {}
    prefixes: dict[TextKind, str] = {}
    if "query" in prompts:
        prefixes["query"] = prompts["query"]
    if (name := next((n for n in ("passage", "document", "corpus") if n in prompts), None)) is not None:
        prefixes["passage"] = prompts[name]
    path = folder / transformer / "sentence_bert_config.json"
    transformer_config = _read_json(path) if path.is_file() else {}
    if transformer_config.get("do_lower_case"):
        raise UserError(f"{path} has do_lower_case true; put lower-casing into the tokenizer instead")
    length = transformer_config.get("max_seq_length")
    own = (config.get("hybrid_retrieval") or {}).get("max_length") or {}
    lengths = {kind: own.get(kind, length) for kind in KINDS}
    return prefixes, {kind: int(n) for kind, n in lengths.items() if n is not None}


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            f"{path}{line} is not valid JSON: {error}; download or save the model again"
        ) from error
