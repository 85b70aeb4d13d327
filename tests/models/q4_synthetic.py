"""A small weight file in the layout of `e5-small-q4.bin`, and a plain reading of its blocks."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

SIZES = {"hidden": 32, "layers": 2, "heads": 4, "ffn": 64, "vocabulary": 40, "positions": 16, "types": 2}


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    h, f = SIZES["hidden"], SIZES["ffn"]
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (SIZES["vocabulary"], h), "emb.pos": (SIZES["positions"], h), "emb.type": (2, h),
        "emb.ln.w": (h,), "emb.ln.b": (h,),
    }  # fmt: skip
    for i in range(SIZES["layers"]):
        for part in ("q", "k", "v", "ao"):
            shapes[f"l{i}.{part}.w"], shapes[f"l{i}.{part}.b"] = (h, h), (h,)
        shapes[f"l{i}.fi.w"], shapes[f"l{i}.fi.b"] = (f, h), (f,)
        shapes[f"l{i}.fo.w"], shapes[f"l{i}.fo.b"] = (h, f), (h,)
        for norm in ("aln", "oln"):
            shapes[f"l{i}.{norm}.w"] = shapes[f"l{i}.{norm}.b"] = (h,)
    return shapes


def is_quantised(name: str) -> bool:
    return name == "emb.word" or (name.endswith(".w") and "ln" not in name)


def dequantise_by_loop(blocks: bytes) -> list[float]:
    """Byte j of a block of 32: weight j in the low nibble, weight j + 16 in the high one."""
    weights = []
    for start in range(0, len(blocks), 18):
        (scale,) = struct.unpack_from("<e", blocks, start)
        quantised = blocks[start + 2 : start + 18]
        weights += [(byte % 16 - 8) * scale for byte in quantised]
        weights += [(byte // 16 - 8) * scale for byte in quantised]
    return weights


@dataclass
class Parts:
    """The parts of a file; change one to make a malformed file."""

    magic: bytes = b"E5S1"
    version: int = 1
    block: int = 32
    epsilon: float = 1e-12
    tensors: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)  # dtype, weights, content
    offset_shift: int = 0
    pieces: int = 3

    @classmethod
    def random(cls, seed: int = 0) -> "Parts":
        rng = np.random.default_rng(seed)
        parts = cls()
        for name, shape in tensor_shapes().items():
            size = int(np.prod(shape))
            if is_quantised(name):
                scales = rng.uniform(0.005, 0.05, size // 32).astype("<f2")
                nibbles = rng.integers(0, 256, (size // 32, 16), dtype=np.uint8)
                content = b"".join(s.tobytes() + n.tobytes() for s, n in zip(scales, nibbles, strict=True))
                parts.tensors[name] = (1, size, content)
            else:
                parts.tensors[name] = (0, size, rng.normal(size=size).astype("<f4").tobytes())
        return parts

    def encode(self) -> bytes:
        head = struct.pack("<4sI7if", self.magic, self.version, *SIZES.values(), self.epsilon)
        head += struct.pack("<i", self.block)
        text = b"abc"
        head += struct.pack("<5iQ", self.pieces, 0, 2, 1, 3, len(text))
        head += struct.pack(
            f"<{self.pieces + 1}I{self.pieces}f", *range(self.pieces + 1), *[0.0] * self.pieces
        )
        head += text + struct.pack("<iI", 1, 5) + b"norms"
        entries = [(n.encode(), d, size, content) for n, (d, size, content) in self.tensors.items()]
        directory_size = 4 + sum(2 + len(name) + 1 + 4 + 8 + 8 for name, *_ in entries)
        offset = len(head) + directory_size + self.offset_shift
        directory = struct.pack("<i", len(entries))
        for name, dtype, size, content in entries:
            directory += struct.pack(
                f"<H{len(name)}sBIQQ", len(name), name, dtype, size, offset, len(content)
            )
            offset += len(content)
        return head + directory + b"".join(content for *_, content in entries)


def expected_tensors(parts: Parts) -> Mapping[str, np.ndarray]:
    return {
        name: np.array(
            dequantise_by_loop(content) if dtype else struct.unpack(f"<{size}f", content), dtype=np.float32
        ).reshape(tensor_shapes()[name])
        for name, (dtype, size, content) in parts.tensors.items()
    }
