"""The embeddings of a parallel corpus: the same texts in several languages."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.index.chunks import check_finite
from hybrid_retrieval.sampling.triples import BoolArray
from hybrid_retrieval.storage_errors import reserve, writing

if TYPE_CHECKING:
    from hybrid_retrieval.models.text_tokenizer import TextKind


@dataclass(frozen=True)
class ParallelEmbeddings:
    """Embeddings of texts by language.

    Attributes:
        values: float32 (languages, texts, dimension), mapped from a file; zero where the language lacks the
            text.
        exists: bool (languages, texts).
    """

    values: np.ndarray
    exists: BoolArray

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        return int(self.values.shape[2])

    def __len__(self) -> int:
        return int(self.values.shape[1])


def embed_parallel(
    embedder: Embedder,
    ids: Sequence[str],
    texts: Callable[[str], list[str | None]],
    languages: Sequence[str],
    *,
    kind: "TextKind",
    scratch: Path | None = None,
    title: str | None = None,
) -> ParallelEmbeddings:
    """Embed texts one language after another; memory holds one language.

    Args:
        embedder: the model. It knows a text as "LANG:id", as in the benchmark of a parallel corpus.
        ids: the source's ids; a repeated one, of equal texts, is embedded once.
        texts: gives the texts of a language in the order of `ids`, None where it lacks one.
        languages: at least one of them has a text.
        kind: "query" or "passage".
        scratch: folder of the file that the embeddings are mapped from; None is the system's. The file has
            no name, so that nothing is left of it however the process ends.
        title: what to call the texts in a progress bar; None shows none.

    Raises:
        UserError: an embedding is NaN or infinite.
    """
    exists = np.zeros((len(languages), len(ids)), dtype=np.bool_)
    values: np.ndarray | None = None
    for row, language in enumerate(languages):
        of_language = texts(language)
        exists[row] = [text is not None for text in of_language]
        present = np.flatnonzero(exists[row])
        if not len(present):
            continue
        text_of = {ids[i]: of_language[i] or "" for i in present.tolist()}
        embedded = embedder.embed(
            [f"{language}:{name}" for name in text_of],
            list(text_of.values()),
            kind,
            title=f"{title} ({language})" if title else None,
        )
        check_finite(embedded, f"embeddings of {language} ({kind})")
        if values is None:
            shape = (len(languages), len(ids), embedded.shape[1])
            size = math.prod(shape) * np.dtype(np.float32).itemsize
            place_of_file = Path(scratch or tempfile.gettempdir()) / "embeddings"
            with writing(place_of_file, instead="TMPDIR=..."), tempfile.TemporaryFile(dir=scratch) as file:
                reserve(file, size)
                values = np.memmap(file, mode="w+", dtype=np.float32, shape=shape)
        place = {name: number for number, name in enumerate(text_of)}
        values[row, present] = embedded[[place[ids[i]] for i in present.tolist()]]
    if values is None:
        raise UserError(f"there is no {kind} in {', '.join(languages)}. Choose other data.languages.")
    return ParallelEmbeddings(values, exists)
