"""Embeddings kept on disk, so that a second evaluation of a model encodes nothing."""

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.distributed import broadcast_array, rank, world_size
from hybrid_retrieval.models.pooling import Dense

if TYPE_CHECKING:
    from hybrid_retrieval.models.encoder import TextEncoder

log = logging.getLogger(__name__)

FORMAT = 1
DTYPES = ("float32", "float16")
DIGEST_BYTES = 32
STALE_SECONDS = 24 * 3600.0


class EmbeddingCache:
    """A folder of embeddings by key: of what they are, and of how they were made.

    A file `<key>.npy` holds an array that `numpy.load` reads, and after it the blake2b digest of the array's
    bytes: a damaged file is noticed and counts as absent. Files appear complete or not at all, and several
    processes may share the folder. The files that were not read for longest are removed when all together
    exceed the limit.

    Args:
        folder: made when the first embeddings are kept.
        dtype: "float32", or "float16" for files of half the size, whose values are rounded (the embeddings of
            the evaluation that makes them are rounded too, so that the next one finds the same).
        limit_gb: bound on the sum of the files, in 10^9 bytes.

    Raises:
        UserError: another dtype, or a limit that is not positive.
    """

    def __init__(self, folder: Path, *, dtype: str = "float32", limit_gb: float = 20.0) -> None:
        if limit_gb <= 0:
            raise UserError(f"the limit of the embedding cache, {limit_gb} GB, must be positive.")
        self.folder = Path(folder)
        self.dtype = check_dtype(dtype)
        self.limit_bytes = int(limit_gb * 1e9)

    def path(self, key: str) -> Path:
        """The file of a key, there or not."""
        return self.folder / f"{key}-{self.dtype.name}.npy"

    def read(self, key: str, shape: tuple[int, int]) -> np.ndarray | None:
        """What was kept under a key.

        Args:
            key: of `cache_key`.
            shape: that the embeddings must have.

        Returns:
            float32 of that shape; None if there is nothing, or (with a warning) a damaged file.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                stored = np.lib.format.read_array(file, allow_pickle=False)
                digest = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, EOFError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("%s is damaged (%s): encoding again", path, reason)
            return None
        if stored.shape != shape or stored.dtype != self.dtype or digest != _digest(stored):
            log.warning("%s is damaged (its digest or shape is not as written): encoding again", path)
            return None
        with suppress(OSError):  # the folder of somebody else
            os.utime(path)  # when it was last used
        log.info("%d embeddings read from %s", len(stored), path)
        return stored.astype(np.float32, copy=False)

    def write(self, key: str, embeddings: np.ndarray) -> None:
        """Keep embeddings under a key; a disk that is full or read-only is worth a warning, no more.

        Args:
            key: of `cache_key`.
            embeddings: float (n, d).
        """
        stored = np.ascontiguousarray(embeddings, dtype=self.dtype)
        path = self.path(key)
        if stored.nbytes > self.limit_bytes:
            log.warning("%d bytes of embeddings exceed the limit of %s: not kept", stored.nbytes, self.folder)
            return
        temporary = self.folder / f".{uuid.uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                np.lib.format.write_array(file, stored, allow_pickle=False)
                file.write(_digest(stored))
            os.replace(temporary, path)
            self._remove_oldest(keep=path)
        except OSError as error:
            log.warning("embeddings could not be kept in %s (%s)", self.folder, error.strerror or error)
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _remove_oldest(self, keep: Path) -> None:
        files = []
        for path in self.folder.iterdir():
            try:
                status = path.stat()
            except FileNotFoundError:  # removed by another process
                continue
            if path.suffix == ".npy":
                files.append((status.st_mtime_ns, status.st_size, path))
            elif path.suffix == ".part" and time.time() - status.st_mtime > STALE_SECONDS:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit_bytes:
                break
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size


def read_or_compute(
    cache: EmbeddingCache | None,
    key: Callable[[], str],
    compute: Callable[[], np.ndarray],
    shape: tuple[int, int],
    *,
    device: torch.device,
    distributed: bool,
) -> np.ndarray:
    """Embeddings from the cache, or made and kept; only the process of rank 0 touches the cache.

    Args:
        cache: None makes them without keeping them.
        key: gives the key; called by rank 0 only.
        compute: makes them, float32 of `shape`; called by every process if by any.
        shape: of the embeddings.
        device: one that the process group can send from.
        distributed: whether all processes of torch's process group make this call.

    Returns:
        float32 of `shape`, rounded to the cache's dtype.
    """
    if cache is None:
        return compute()
    together = distributed and world_size() > 1
    first = not together or rank() == 0
    name = key() if first else ""
    found = cache.read(name, shape) if first else None
    if together:
        found = broadcast_array(found, device)
    if found is not None:
        return found
    embeddings = compute()
    if first:
        cache.write(name, embeddings)
    return embeddings.astype(cache.dtype, copy=False).astype(np.float32, copy=False)


def encoder_key(
    encoder: "TextEncoder",
    sequences: Sequence[Sequence[int]],
    *,
    device: torch.device,
    dtype: torch.dtype,
    token_budget: int,
) -> str:
    """The key of an encoder's embeddings of token sequences.

    It depends on everything that decides an embedding's bits: the weights, the configuration, the pooling and
    the token ids. The tokenizer, prefixes and lengths are in it by their effect, the token ids. Device,
    precision, batch size, packing and library versions are in it too, as rounding follows them.

    Args:
        encoder: its tensors are read once, about a gigabyte a second.
        sequences: token ids, in the order of the embeddings.
        device: where it runs.
        dtype: of matrix products.
        token_budget: of `encode_texts`.
    """
    settings = {
        **_settings(encoder, dtype),
        "device": device.type,
        "token_budget": token_budget,
        "attention": _attention(encoder, device, dtype),
        "versions": [torch.__version__, metadata.version("transformers")],
    }
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    ids = np.fromiter(chain.from_iterable(sequences), dtype=np.int64, count=int(lengths.sum()))
    return cache_key(settings, [*_weights(encoder), lengths.tobytes(), ids.tobytes()])


def encoder_fingerprint(encoder: "TextEncoder", *, dtype: torch.dtype) -> str:
    """Names an encoder by all that decides its embeddings of texts, but for rounding that machines differ in.

    Args:
        encoder: its tensors are read once, about a gigabyte a second.
        dtype: of matrix products.
    """
    tokenizer = encoder.tokenizer
    settings = {
        **_settings(encoder, dtype),
        "prefixes": tokenizer.prefixes,
        "max_length": tokenizer.max_length,
    }
    return cache_key(
        settings, [tokenizer.hf_tokenizer.backend_tokenizer.to_str().encode(), *_weights(encoder)]
    )


def _settings(encoder: "TextEncoder", dtype: torch.dtype) -> dict[str, object]:
    config = encoder.transformer.config.to_dict()  # type: ignore[operator, union-attr]
    for irrelevant in ("_name_or_path", "transformers_version"):
        config.pop(irrelevant, None)
    return {
        "transformer": f"{type(encoder.transformer).__module__}.{type(encoder.transformer).__qualname__}",
        "config": config,
        "pooling": encoder.pooling,
        "activations": [module.activation for module in encoder.dense if isinstance(module, Dense)],
        "precision": str(dtype).removeprefix("torch."),
    }


def _attention(encoder: "TextEncoder", device: torch.device, dtype: torch.dtype) -> str:
    """How texts share a batch: "padded", or packed for one of the attention kernels."""
    from hybrid_retrieval.models.packed_attention import attention_kernel  # noqa: PLC0415 (seconds)

    if not encoder.packed:
        return "padded"
    config: Any = encoder.transformer.config
    return attention_kernel(device, dtype, config.hidden_size // config.num_attention_heads, dropout=0.0)


def cache_key(settings: object, parts: Iterable[bytes | memoryview]) -> str:
    """A key, 40 hexadecimal digits, of settings and of bytes.

    Args:
        settings: anything JSON can hold; other objects count as their text.
        parts: in order; where one ends and the next begins is part of the key.
    """
    digest = hashlib.sha256(json.dumps([FORMAT, settings], sort_keys=True, default=str).encode())
    for part in parts:
        digest.update(f"/{memoryview(part).nbytes}/".encode())
        digest.update(part)
    return digest.hexdigest()[:40]


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 of the name and content of every file below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\0".encode())
    return digest.hexdigest()


def check_dtype(dtype: str) -> np.dtype:
    """The numpy dtype of "float32" or "float16".

    Raises:
        UserError: another name.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype={dtype} of embeddings is unknown; known: {', '.join(DTYPES)}.")
    return np.dtype(dtype)


def _weights(encoder: "TextEncoder") -> Iterator[bytes | memoryview]:
    """Name, dtype, shape and content of every tensor of the state, in order of name."""
    for name, tensor in sorted(encoder.state_dict().items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=DIGEST_BYTES).digest()
