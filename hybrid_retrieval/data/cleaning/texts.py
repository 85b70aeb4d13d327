"""What cleaning has to know of each text of a language: whether it may stay by itself, and its hash."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.normalise import Hashes, text_hashes
from hybrid_retrieval.data.mapped_texts import BATCH_ROWS, MappedTexts
from hybrid_retrieval.sampling.triples import BoolArray, IntArray

if TYPE_CHECKING:
    from hybrid_retrieval.data.cleaning.decontaminate import Decontamination

KINDS = {"queries": "question", "passages": "passage"}
SHORT, LONG = 1, 2


@dataclass(frozen=True)
class Measured:
    """The texts of one kind in a language, by their joined number; those of no triple count as absent.

    Attributes:
        hashes: uint64 (texts,), `ABSENT` where the language has no text.
        length: uint8 (texts,), `SHORT`, `LONG` or 0.
        contaminated: bool (texts,), whether a benchmark has the text.
    """

    hashes: Hashes
    length: npt.NDArray[np.uint8]
    contaminated: BoolArray

    @property
    def there(self) -> BoolArray:
        """Bool (texts,), whether the language has the text."""
        return np.asarray(self.hashes != 0)

    def save(self, folder: Path, kind: str) -> None:
        """Write the arrays of a kind."""
        for name in ("hashes", "length", "contaminated"):
            np.save(folder / f"{kind}_{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, kind: str) -> "Measured":
        """Map what `save` wrote."""
        return cls(
            *(
                np.load(folder / f"{kind}_{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ("hashes", "length", "contaminated")
            )
        )


def measure(
    texts: MappedTexts,
    used: IntArray,
    size: int,
    language: str,
    *,
    bounds: tuple[int | None, int | None],
    against: "Decontamination | None",
    count: Callable[[int], None],
) -> Measured:
    """Read texts once.

    Args:
        texts: of one kind in a language, by joined number.
        used: int64, the numbers of the texts that triples have, ascending.
        size: how many numbers there are.
        language: ISO 639-1 code.
        bounds: least and greatest number of characters; None is no bound.
        against: says which texts are contaminated.
        count: takes numbers of texts done.
    """
    measured = Measured(
        np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.bool_)
    )
    used = used[: np.searchsorted(used, len(texts))]
    lowest, highest = bounds
    for start in range(0, len(used), BATCH_ROWS):
        numbers = used[start : start + BATCH_ROWS]
        batch: list[str | None] = texts.take(numbers).to_pylist()
        measured.hashes[numbers] = text_hashes(batch)
        if lowest is not None or highest is not None:
            lengths = np.array([0 if text is None else len(text) for text in batch])
            measured.length[numbers] = np.where(
                lengths < (lowest or 0), SHORT, np.where(lengths > (highest or lengths.max()), LONG, 0)
            )
        if against is not None:
            measured.contaminated[numbers] = against.contaminated(batch, language)
        count(len(batch))
    return measured
