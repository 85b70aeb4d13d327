"""Reader of `e5-small-q4.bin`: BERT weights in 4-bit blocks of 32 (Q4_0) and float32.

Little-endian, packed:

- header: magic `E5S1`, u32 version 1; i32 hidden, layers, heads, feed-forward, vocabulary, positions, token
  types; f32 layer-norm epsilon; i32 block size 32.
- vocabulary: i32 pieces, bos, eos, pad, unk; u64 bytes; u32 offsets[pieces + 1]; f32 scores[pieces]; text.
- normaliser: i32 entries, u32 bytes, content.
- directory: i32 tensors; each u16 name length, name, u8 dtype (0 float32, 1 Q4_0), u32 number of weights,
  u64 offset from the start of the file, u64 bytes.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_retrieval.errors import UserError

MAGIC = b"E5S1"
BLOCK = 32
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])  # 18 bytes


@dataclass(frozen=True)
class Q4Header:
    """The sizes a file states, and its special tokens."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float
    bos: int
    eos: int
    pad: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor that a file with this header must hold."""
        h, f = self.hidden, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "emb.word": (self.vocabulary, h),
            "emb.pos": (self.positions, h),
            "emb.type": (self.token_types, h),
            "emb.ln.w": (h,),
            "emb.ln.b": (h,),
        }
        for i in range(self.layers):
            for part, size_out, size_in in (
                ("q", h, h),
                ("k", h, h),
                ("v", h, h),
                ("ao", h, h),
                ("fi", f, h),
                ("fo", h, f),
            ):
                shapes[f"l{i}.{part}.w"] = (size_out, size_in)
                shapes[f"l{i}.{part}.b"] = (size_out,)
            for norm in ("aln", "oln"):
                shapes[f"l{i}.{norm}.w"] = shapes[f"l{i}.{norm}.b"] = (h,)
        return shapes


class _Cursor:
    """Reads packed little-endian values one after another, and refuses to pass the end."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.position = data, name, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        start = self.position
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self.data, start)

    def skip(self, nbytes: int) -> int:
        start = self.position
        if nbytes < 0 or start + nbytes > len(self.data):
            raise self.malformed(f"truncated: {nbytes} bytes wanted at offset {start} of {len(self.data)}")
        self.position += nbytes
        return start

    def malformed(self, reason: str) -> UserError:
        return UserError(
            f"{self.name} is malformed ({reason}); run: hybrid-retrieval prepare backbone=e5_small_q4"
        )


def dequantise(blocks: bytes, count: int) -> NDArray[np.float32]:
    """Q4_0 blocks to weights.

    Byte j of a block holds weight j in its low nibble and weight j + 16 in its high nibble; a weight is
    (nibble - 8) x scale.

    Args:
        blocks: `count` / 32 blocks of 18 bytes: a float16 scale and 16 bytes.
        count: number of weights, a multiple of 32.

    Returns:
        (count,) float32.
    """
    packed = np.frombuffer(blocks, dtype=Q4_BLOCK)
    weights = np.empty((len(packed), BLOCK), dtype=np.float32)
    weights[:, : BLOCK // 2] = packed["nibbles"] & 15
    weights[:, BLOCK // 2 :] = packed["nibbles"] >> 4
    weights -= 8
    with np.errstate(invalid="ignore"):  # the caller refuses what is not finite
        weights *= packed["scale"].astype(np.float32)[:, None]
    return weights.reshape(count)


def read_q4_file(data: bytes, name: str) -> tuple[Q4Header, dict[str, NDArray[np.float32]]]:
    """Parse a weight file and dequantise its tensors.

    Args:
        data: the content of the file.
        name: what to call the file in messages.

    Returns:
        The header, and the tensors by the file's own names in the shapes of `Q4Header.shapes()`, float32.

    Raises:
        UserError: wrong magic or version, truncated, a tensor missing, unknown or of a wrong size, or a
            weight that is not finite.
    """
    cursor = _Cursor(data, name)
    magic, version = cursor.take("4sI")
    if magic != MAGIC or version != 1:
        raise cursor.malformed(f"starts with {magic!r} version {version}, expected {MAGIC!r} version 1")
    sizes = cursor.take("7i")
    epsilon, block = cursor.take("fi")
    if block != BLOCK or min(sizes) < 1:
        raise cursor.malformed(f"sizes {sizes}, block {block}")
    hidden, layers, heads, feed_forward, vocabulary, positions, token_types = sizes
    pieces, bos, eos, pad, _unk, text_bytes = cursor.take("5iQ")
    cursor.skip(4 * (pieces + 1) + 4 * pieces + text_bytes)
    _entries, normaliser_bytes = cursor.take("iI")
    cursor.skip(normaliser_bytes)
    header = Q4Header(
        hidden,
        layers,
        heads,
        feed_forward,
        vocabulary,
        positions,
        token_types,
        _round(epsilon),
        bos,
        eos,
        pad,
    )

    missing = header.shapes()
    tensors: dict[str, NDArray[np.float32]] = {}
    (count,) = cursor.take("i")
    for _ in range(count):
        (length,) = cursor.take("H")
        (raw,) = cursor.take(f"{length}s")
        tensor_name = raw.decode("utf-8", errors="replace")
        shape = missing.pop(tensor_name, None)
        if shape is None:
            raise cursor.malformed(f"unknown or repeated tensor {tensor_name!r}")
        tensors[tensor_name] = _read_tensor(cursor, tensor_name, shape)
    if missing:
        raise cursor.malformed(f"{len(missing)} tensors missing, first {next(iter(missing))!r}")
    return header, tensors


def _read_tensor(cursor: _Cursor, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    dtype, size, offset, nbytes = cursor.take("BIQQ")
    if size != np.prod(shape):
        raise cursor.malformed(
            f"tensor {name!r} has {size} weights, its shape {shape} needs {np.prod(shape)}"
        )
    if dtype not in (0, 1) or (dtype == 1 and size % BLOCK):
        raise cursor.malformed(f"tensor {name!r} has dtype {dtype} and {size} weights")
    if nbytes != (size * 4 if dtype == 0 else size // BLOCK * Q4_BLOCK.itemsize):
        raise cursor.malformed(f"tensor {name!r} has {nbytes} bytes for {size} weights of dtype {dtype}")
    if offset + nbytes > len(cursor.data):
        raise cursor.malformed(f"truncated: tensor {name!r} ends at {offset + nbytes} of {len(cursor.data)}")
    content = cursor.data[offset : offset + nbytes]
    weights = np.frombuffer(content, dtype="<f4") if dtype == 0 else dequantise(content, size)
    if not np.isfinite(weights).all():
        raise cursor.malformed(f"tensor {name!r} holds values that are not finite")
    return weights.reshape(shape).astype(np.float32, copy=False)


def _round(value: float) -> float:
    """The decimal number that was stored as float32: 1e-12, not 9.999999960041972e-13."""
    return float(f"{value:.6g}")
