"""Damage to the bytes of a file, whatever is in it."""

import codecs
from collections.abc import Callable
from random import Random

ByteMutator = Callable[[Random, bytes], bytes]

_NOT_UTF8 = (b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe4\xb8", b"\xfe\xff")
_ODD_TEXT = ("\0", "\ufeff", "\u2028", "\x85", "\r", "\x1b[31m", "\u202e", "\x1c", "😀")
_DEPTH = 100_000


def _place(random: Random, data: bytes) -> int:
    return random.randrange(len(data) + 1)


def _span(random: Random, data: bytes) -> slice:
    start = _place(random, data)
    return slice(start, min(len(data), start + random.choice([1, 4, 16, 64, 256])))


def _put(random: Random, data: bytes, what: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + what + data[at:]


def truncated(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)]


def beheaded(random: Random, data: bytes) -> bytes:
    return data[_place(random, data) :]


def bits_flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8]) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def end_flipped(random: Random, data: bytes) -> bytes:
    """Where Parquet, Arrow and ZIP keep what they know of themselves."""
    cut = max(0, len(data) - random.choice([8, 64, 512]))
    return data[:cut] + bits_flipped(random, data[cut:])


def start_flipped(random: Random, data: bytes) -> bytes:
    return bits_flipped(random, data[:64]) + data[64:]


def bytes_set(random: Random, data: bytes) -> bytes:
    """Lengths and offsets of binary formats become extreme."""
    span = _span(random, data)
    fill = random.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
    return data[: span.start] + fill * (span.stop - span.start) + data[span.stop :]


def slice_removed(random: Random, data: bytes) -> bytes:
    span = _span(random, data)
    return data[: span.start] + data[span.stop :]


def slice_repeated(random: Random, data: bytes) -> bytes:
    return _put(random, data, data[_span(random, data)] * random.choice([1, 2, 100]))


def not_utf8(random: Random, data: bytes) -> bytes:
    return _put(random, data, random.choice(_NOT_UTF8))


def odd_text(random: Random, data: bytes) -> bytes:
    return _put(random, data, random.choice(_ODD_TEXT).encode())


def nul_bytes(random: Random, data: bytes) -> bytes:
    return _put(random, data, bytes(random.choice([1, 2, 4096])))


def marked(random: Random, data: bytes) -> bytes:
    return random.choice([codecs.BOM_UTF8, codecs.BOM_UTF8 * 2, codecs.BOM_UTF16_LE]) + data


def utf_16(_: Random, data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode("utf-16")


def latin_1(_: Random, data: bytes) -> bytes:
    return data.decode("utf-8", "replace").replace("e", "é").encode("latin-1", "replace")


def carriage_returns(random: Random, data: bytes) -> bytes:
    return data.replace(b"\n", random.choice([b"\r", b"\r\n", b"\r\r\n"]))


def nested(random: Random, data: bytes) -> bytes:
    return _put(random, data, random.choice([b"[", b'{"a":', b'"', b"(", b"\t", b","]) * _DEPTH)


def digits(random: Random, data: bytes) -> bytes:
    return _put(random, data, random.choice([b"9" * 5000, b"1e999", b"-0", b"1" * 30, b"\xd9\xa1"]))


def lines_shuffled(random: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    random.shuffle(lines)
    return b"".join(lines)


def line_repeated(random: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    return b"".join([*lines, *[random.choice(lines)] * random.choice([1, 2, 500])])


def line_removed(random: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        del lines[random.randrange(len(lines))]
    return b"".join(lines)


def lines_joined(_: Random, data: bytes) -> bytes:
    return data.replace(b"\n", b"")


def empty(_: Random, _data: bytes) -> bytes:
    return b""


def blank(random: Random, _data: bytes) -> bytes:
    return random.choice([b"\n", b" ", b"\t\n", b"\0", b"\n" * 10_000])


def noise(random: Random, data: bytes) -> bytes:
    return random.randbytes(random.choice([1, 16, 4096]))


ANY: tuple[ByteMutator, ...] = (
    truncated, beheaded, bits_flipped, bytes_set, slice_removed, slice_repeated, nul_bytes, empty, blank,
    noise,
)  # fmt: skip
"""For any file."""
BINARY: tuple[ByteMutator, ...] = (*ANY, bits_flipped, end_flipped, end_flipped, start_flipped, bytes_set)
TEXT: tuple[ByteMutator, ...] = (
    *ANY, not_utf8, odd_text, marked, utf_16, latin_1, carriage_returns, nested, digits, lines_shuffled,
    line_repeated, line_removed, lines_joined,
)  # fmt: skip
