"""Load the transformer and the tokenizer of a Hugging Face folder: safetensors only, no remote code."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers.utils import logging as transformers_logging

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.pooling import Dense
from hybrid_retrieval.security.model_folders import check_no_code

# Names of the dropout probabilities in the configurations of BERT, XLM-R, ModernBERT, DistilBERT, ...
DROPOUT_ATTRIBUTES = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "dropout",
)
# These models give the first token the position pad_token_id + 1.
OFFSET_POSITIONS = {"xlm-roberta", "xlm-roberta-xl", "roberta", "camembert", "xmod"}
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")


def load_transformer(folder: Path, dropout: float) -> nn.Module:
    """Load the weights of a folder in float32 with sdpa attention and without a pooling layer.

    Args:
        folder: config.json and model.safetensors (or its shards).
        dropout: every dropout probability of the configuration is set to this.

    Raises:
        UserError: a file is missing or damaged, weights are missing or of another shape, the weights exist
            only as a pickle, or the model needs code of its own.
    """
    check_files(folder)
    check_no_code(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise UserError(
            f"{folder / 'config.json'} cannot be used: {_first_line(error)}. Models that need code of their "
            "own are not supported"
        ) from error
    needed = ("hidden_size", "vocab_size", "max_position_embeddings")
    if config.is_encoder_decoder or not all(hasattr(config, attribute) for attribute in needed):
        raise UserError(
            f"{folder / 'config.json'} describes a {config.model_type} model, which is no text encoder "
            "(BERT, XLM-R, ModernBERT, ...)"
        )
    for attribute in DROPOUT_ATTRIBUTES:
        if isinstance(getattr(config, attribute, None), float | int):
            setattr(config, attribute, dropout)
    options = {"add_pooling_layer": False} if has_pooling_layer(config) else {}
    try:
        with quiet_transformers():
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
                **options,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"the weights in {folder} cannot be loaded: {_first_line(error)}; "
            "download or save the model again"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        wrong = missing + sorted(str(key) for key, *_shapes in report["mismatched_keys"])
        raise UserError(
            f"the weights in {folder} do not fit config.json: {len(wrong)} tensors are missing or of another "
            f"shape, first {wrong[0]}; download or save the model again"
        )
    transformer: nn.Module = model.eval()
    return transformer


def load_tokenizer(folder: Path) -> Any:
    """Load a fast tokenizer; tokenizer.json is used as it is when the folder has one.

    Raises:
        UserError: no usable tokenizer, one without a padding token, or one that needs code of its own.
    """
    check_no_code(folder)
    try:
        with quiet_transformers():
            if (folder / "tokenizer.json").is_file():
                tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(
                    folder, local_files_only=True
                )
            else:
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, trust_remote_code=False, local_files_only=True
                )
    except Exception as error:  # the tokenizers library raises bare Exception for malformed files
        raise UserError(f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"{folder / 'tokenizer_config.json'} names no pad_token; add the one the model was trained with"
        )
    return tokenizer


def load_pooler(folder: Path) -> Dense:
    """BERT's trained pooler (linear layer and tanh over the first token) from the folder's weights.

    Raises:
        UserError: the weights have no pooler.
    """
    path = folder / WEIGHT_FILES[0]
    try:
        with safe_open(path, framework="pt") as file:
            prefix = next(k for k in file.keys() if k.endswith("pooler.dense.weight")).removesuffix("weight")  # noqa: SIM118
            weight, bias = file.get_tensor(prefix + "weight"), file.get_tensor(prefix + "bias")
    except (OSError, SafetensorError, StopIteration) as error:
        raise UserError(
            f"{path} holds no pooler.dense weights, which pooling=pooler needs; use pooling=cls"
        ) from error
    dense = Dense(weight.shape[1], weight.shape[0])
    dense.load_state_dict({"linear.weight": weight, "linear.bias": bias})
    return dense.float()


def longest_input(config: Any) -> int:
    """The number of tokens, special tokens included, that the positions of a model allow."""
    positions = int(config.max_position_embeddings)
    return positions - config.pad_token_id - 1 if config.model_type in OFFSET_POSITIONS else positions


def check_files(folder: Path) -> None:
    """Check that a folder has a configuration and safetensors weights.

    Raises:
        UserError: it has not; the message says which file is missing and how to get it.
    """
    if not folder.is_dir():
        raise UserError(f"the model folder {folder} does not exist")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model folder: it has no config.json")
    if any((folder / name).is_file() for name in WEIGHT_FILES):
        return
    if (folder / "pytorch_model.bin").is_file():
        raise UserError(
            f"{folder} has its weights only in pytorch_model.bin, a pickle, which is not loaded. Convert it: "
            'python -c "from hybrid_retrieval.models.hub import convert_to_safetensors as convert; '
            f"convert('{folder}', '{folder}-safetensors')\", then use the new folder"
        )
    raise UserError(f"{folder / WEIGHT_FILES[0]} is missing; download or save the model again")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the progress bars and load reports of transformers; errors still raise."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def has_pooling_layer(config: Any) -> bool:
    """Whether models of this configuration have a pooling layer that can be left out."""
    model_class = transformers.MODEL_MAPPING.get(type(config), None)
    return (
        model_class is not None and "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
