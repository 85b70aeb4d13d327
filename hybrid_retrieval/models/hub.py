"""Models of the hub as local folders: through Hugging Face's own cache, pickles only by conversion."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HFValidationError
from safetensors.torch import save_file

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.hub import Repository
from hybrid_retrieval.models.hf_folder import WEIGHT_FILES
from hybrid_retrieval.models.manifest import check_manifest, write_manifest
from hybrid_retrieval.security.checkpoints import read_tensors

FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
OTHER_FORMATS = ["onnx/*", "openvino/*", "*/onnx/*", "*/openvino/*"]
PICKLE = "pytorch_model.bin"


def fetch(hub_id: str, revision: str | None = None, *, convert: bool = False) -> Path:
    """The local folder of a model of the hub, downloaded when it is not in Hugging Face's cache.

    A cached model is used without a network connection.

    Args:
        hub_id: `owner/name`.
        revision: branch, tag or commit; None for the main branch.
        convert: whether a model without safetensors is downloaded and converted (weights only, no code of
            the pickle runs); otherwise such a model is refused.

    Raises:
        UserError: no such model, the hub cannot be reached, or the model has no safetensors.
    """
    converted = (
        cache_folder() / "backbones" / "-".join([hub_id.replace("/", "--"), *filter(None, [revision])])
    )
    if converted.is_dir():
        check_manifest(converted, f"delete {converted} and prepare the backbone again")
        return converted
    try:
        cached = Path(huggingface_hub.snapshot_download(hub_id, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        pass
    else:
        if _has_safetensors(path.relative_to(cached).as_posix() for path in cached.rglob("*.*")):
            return cached
    names = _list_files(hub_id, revision)
    if _has_safetensors(names):
        return _download(hub_id, revision, FILES)
    if PICKLE not in names:
        raise UserError(
            f"{hub_id} on the hub holds no transformer weights ({WEIGHT_FILES[0]}); choose another model"
        )
    if not convert:
        raise UserError(
            f"{hub_id} on the hub has its weights only in {PICKLE}, a pickle, which is not loaded. Its named "
            "backbone converts it: hybrid-retrieval prepare backbone=<name>; or give a folder with "
            f"{WEIGHT_FILES[0]}"
        )
    convert_to_safetensors(_download(hub_id, revision, [*FILES, PICKLE]), converted)
    return converted


def convert_to_safetensors(source: Path | str, target: Path | str) -> None:
    """Copy a model folder, with `pytorch_model.bin` turned into `model.safetensors`.

    The pickle is read by torch's restricted unpickler (`weights_only=True`), which builds tensors and runs
    nothing else.

    Args:
        source: a folder with pytorch_model.bin.
        target: the folder to make, with a manifest.

    Raises:
        UserError: the file is missing, or holds anything but tensors.
    """
    source, target = Path(source), Path(target)
    path = source / PICKLE
    state = read_tensors(path, "Download the model again, or choose another.")
    try:
        # Tied weights share memory, which safetensors refuses: each name gets its own copy.
        tensors = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    except (AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path} is not a plain file of weights ({error}); download the model again"
        ) from error
    with atomic_folder(target) as new:
        for file in source.rglob("*"):
            if file.is_file() and file.suffix in {".json", ".txt", ".model", ".safetensors"}:
                copy = new / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        save_file(tensors, new / WEIGHT_FILES[0], metadata={"format": "pt"})
        write_manifest(new, {"converted": PICKLE})


def _list_files(hub_id: str, revision: str | None) -> set[str]:
    return set(_repository(hub_id, revision).list_files()[1])


def _download(hub_id: str, revision: str | None, patterns: list[str]) -> Path:
    return _repository(hub_id, revision).download(patterns, ignore=OTHER_FORMATS)


def _repository(hub_id: str, revision: str | None) -> Repository:
    offline = (
        "give a local folder with the model's files instead, or use a backbone that needs no hub: "
        "backbone=e5_small_q4"
    )
    return Repository(hub_id, "model", revision, offline)


def _has_safetensors(names: Iterable[str]) -> bool:
    """Whether one of the files holds a transformer's weights: at the root or in `0_Transformer`."""
    wanted = {f"{folder}{name}" for folder in ("", "0_Transformer/") for name in WEIGHT_FILES}
    return any(name in wanted for name in names)
