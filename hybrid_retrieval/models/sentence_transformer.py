"""Models that need the sentence-transformers library: loaded without code or pickles of theirs."""

import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.export import read_dense, read_layout
from hybrid_retrieval.security.model_folders import check_no_code

MODULES = "modules.json"
# Files that name the Python classes of a model's modules.
CLASS_FILES = (MODULES, "router_config.json")
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
# Names in old checkpoints, and what transformers turns them into.
RENAMED = {".gamma": ".weight", ".beta": ".bias"}


def beyond_text_encoder(model: str) -> Path | None:
    """The folder of a sentence-transformers model whose modules `TextEncoder` does not have.

    Args:
        model: as for `TextEncoder.load`.

    Returns:
        None for every other model, also for one that is missing or damaged.
    """
    from hybrid_retrieval.models.backbones import BackboneSpec, backbone_folder, spec_for  # noqa: PLC0415

    try:
        spec = spec_for(model)
        # A spec that sets pooling, prefixes or lengths means our encoder.
        if spec != BackboneSpec(name=spec.name, source=spec.source, revision=spec.revision):
            return None
        folder = backbone_folder(spec)
    except UserError:
        return None
    if not (folder / MODULES).is_file():
        return None
    try:
        layout = read_layout(folder)
        for subfolder in layout.dense if layout else ():
            read_dense(folder / subfolder)
    except UserError:
        return folder
    return None


def load_sentence_transformer(folder: Path, device: torch.device | str, *, reason: str) -> Any:
    """Load a folder with the library: float32, safetensors only, no code but the library's own.

    Args:
        folder: with modules.json.
        device: where it runs.
        reason: why the library is needed, put before every message.

    Returns:
        A `SentenceTransformer` in evaluation mode.

    Raises:
        UserError: the library is not installed, the model needs code of its own, has its weights only as a
            pickle or not all of them, or the library cannot load it.
    """
    from hybrid_retrieval.models.hf_folder import quiet_transformers  # noqa: PLC0415 (seconds)

    check_classes(folder, reason)
    check_no_code(folder, subfolders=True)
    check_pickles(folder, reason)
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (optional, and seconds)
    except ImportError as error:
        raise UserError(
            f"{reason}. The sentence-transformers library may load it: "
            "pip install 'sentence-transformers>=5.4'"
        ) from error
    try:
        with quiet_transformers():
            model = SentenceTransformer(
                str(folder),
                device=str(device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except Exception as error:  # the library documents none, and calls several others
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{reason}. sentence-transformers cannot load it either: {first_line}") from error
    check_weights(model, folder)
    return model.eval()


def check_classes(folder: Path, reason: str) -> None:
    """Check that every module is a class of the sentence-transformers library.

    Raises:
        UserError: a file names another class, or is no JSON.
    """
    for path in _files(folder, *CLASS_FILES):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            classes = (
                [str(module["type"]) for module in content]
                if path.name == MODULES
                else [str(name) for name in content["types"].values()]
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no list of modules ({error!r}); download the model again") from error
        for name in classes:
            if not name.startswith("sentence_transformers."):
                raise UserError(
                    f"{reason}. {path} names the class {name}, code of the model's own, which is not run."
                )


def check_pickles(folder: Path, reason: str) -> None:
    """Check that no folder of the model holds weights only as a pickle.

    Raises:
        UserError: one does.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in PICKLES and path.is_file() and not any(path.parent.glob("*.safetensors")):
            raise UserError(
                f"{reason}. {path} is a pickle, which is not loaded; save the model as safetensors: "
                "SentenceTransformer(...).save(folder, safe_serialization=True)"
            )


def check_weights(model: Any, folder: Path) -> None:
    """Check that the folder holds every weight of the transformers in a model.

    The library fills in missing ones at random, and only warns.

    Raises:
        UserError: a weight is missing.
    """
    from transformers import PreTrainedModel  # noqa: PLC0415 (seconds)

    endings = set[str]()
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is damaged ({error}); download the model again") from error
        for name in names:
            for old, new in RENAMED.items():
                name = name.removesuffix(old) + new if name.endswith(old) else name  # noqa: PLW2901
            parts = name.split(".")
            # A checkpoint may hold the model under a prefix, such as "bert.".
            endings.update(".".join(parts[start:]) for start in range(len(parts)))
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            missing = [
                name for name, _ in module.named_parameters() if name not in endings and "pooler" not in name
            ]
            if missing:
                raise UserError(
                    f"{folder} lacks {len(missing)} weights of its {type(module).__name__}, first "
                    f"{missing[0]}; download or save the model again"
                )


def embedding_dimension(model: Any) -> int:
    """The dimension of a `SentenceTransformer`'s embeddings."""
    name = "get_embedding_dimension"
    known = getattr(model, name if hasattr(model, name) else "get_sentence_embedding_dimension")()
    return int(known) if known else len(model.encode_query("a", show_progress_bar=False))


def library_versions() -> list[str]:
    """The versions of the libraries that an embedding's rounding may follow."""
    return [metadata.version(name) for name in ("torch", "transformers", "sentence-transformers")]


def _files(folder: Path, *names: str) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.json")) if path.name in names)
