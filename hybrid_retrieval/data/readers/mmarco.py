"""The source of mMARCO: MS MARCO's passage ranking set in fourteen languages, by id."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hybrid_retrieval.data.file_hashes import HashFile
from hybrid_retrieval.data.readers.base import TextBatch, TripleBatch
from hybrid_retrieval.data.readers.dataset_folder import dataset_folder
from hybrid_retrieval.data.readers.language_files import iter_lines
from hybrid_retrieval.data.readers.tab_separated import INTEGER, TEXT, read_columns
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.hub import HUB_ID as HUB_SHAPE
from hybrid_retrieval.sampling.triples import IntArray

HUB_ID = "unicamp-dl/mmarco"
TRIPLES = "data/triples.train.ids.small.tsv"
LANGUAGE_NAMES = {
    "ar": "arabic",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "hi": "hindi",
    "id": "indonesian",
    "it": "italian",
    "ja": "japanese",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
    "vi": "vietnamese",
    "zh": "chinese",
}
PAIRS_AT_ONCE = 1 << 18
GROUPED_BYTES = 1 << 27
_MOST_FIELDS = 10_000
_LAYOUT = "data/triples.train.ids.small.tsv and data/google/ with collections and queries"


class MMarcoSource:
    """mMARCO (Bonifacio et al., 2021, arXiv 2108.13897) in the layout of its repository on the hub.

        data/triples.train.ids.small.tsv                        query<tab>positive<tab>negative, ids
        data/google/collections/<name>_collection.tsv           passage id<tab>text
        data/google/queries/train/<name>_queries.train.tsv      query id<tab>text

    `<name>` is a language in English: arabic, chinese, dutch, english, french, german, hindi, indonesian,
    italian, japanese, portuguese, russian, spanish, vietnamese. Ids are integers, the same in all languages;
    the triples (39,780,811 lines, 905 MB) name them and are stored once for all languages. A collection is of
    2.7 GB (Chinese) to 7.7 GB (Hindi). Layout and sizes:
    https://huggingface.co/datasets/unicamp-dl/mmarco/tree/main/data.

    Args:
        path: a folder in this layout, with some of the languages; or a data set of the hub, of which the
            languages that are prepared are downloaded into Hugging Face's cache.
        triples: the file of triples, under the folder; a line may have any number of negatives, the same on
            every line.
        negatives: hard negatives of a triple. None takes every line as a triple. A number groups the lines
            of a query and a positive, in the order of the file, into triples of so many negatives (the last
            of a group may have fewer); 0 leaves one triple of each query and positive, without negatives.
        limit: lines of triples to take, from the start; None for all.
        revision: of the hub's repository.

    Raises:
        UserError: an option or the folder is not as described.
    """

    def __init__(
        self,
        path: str = HUB_ID,
        *,
        triples: str = TRIPLES,
        negatives: int | None = None,
        limit: int | None = None,
        revision: str | None = None,
    ) -> None:
        for name, value, least in (("negatives", negatives, 0), ("limit", limit, 1)):
            if value is not None and (type(value) is not int or value < least):
                raise UserError(
                    f"data.options.{name} must be null or a whole number of at least {least}, not {value!r}."
                )
        folder = Path(path).expanduser()
        self.name = folder.resolve().name
        self._hub_id = path
        self._root = folder.absolute() if folder.exists() or not HUB_SHAPE.fullmatch(path) else None
        self._triples, self._negatives, self._limit, self._revision = triples, negatives, limit, revision
        if self._root is not None and not (self._root / "data").is_dir():
            raise UserError(
                f"data.path={path} has no folder data/. Name a folder with {_LAYOUT}, as in {HUB_ID} on the "
                f"hub, or data.path={HUB_ID}."
            )

    def languages(self) -> list[str]:
        """The languages that the folder has, or all fourteen, sorted."""
        if self._root is None:
            return sorted(LANGUAGE_NAMES)
        found = [
            code
            for code in sorted(LANGUAGE_NAMES)
            if all((self._root / file).is_file() for file in text_files(code).values())
        ]
        if not found:
            files = " and ".join(text_files("en").values())
            raise UserError(f"data.path={self._root} holds no language: looked for {files} and the like.")
        return found

    def fingerprint(self, languages: Sequence[str], hash_file: HashFile) -> str:
        """Hex digest of the options and the files; downloads them where no folder was given.

        Raises:
            UserError: a file is missing, or the hub cannot be reached.
        """
        files = [self._triples, *(file for code in languages for file in text_files(code).values())]
        if self._root is None:
            self._root = dataset_folder(self._hub_id, files, _LAYOUT, self._revision)
        for file in files:
            if not (self._root / file).is_file():
                raise UserError(f"{self._root / file}: missing. Get it from {HUB_ID} on the hub.")
        options = ["mmarco 1", self._negatives, self._limit, list(languages)]
        digest = hashlib.sha256(json.dumps(options).encode())
        for file in files:
            digest.update(hash_file(self._root / file).encode())
        return digest.hexdigest()

    def source_bytes(self, language: str | None) -> int:
        """Size of a language's files, or of the triples."""
        files = [self._triples] if language is None else list(text_files(language).values())
        return sum(self._path(file).stat().st_size for file in files)

    def queries(self, language: str) -> Iterator[TextBatch]:
        """Yield the training queries of a language."""
        return self._texts(text_files(language)["queries"], "query id")

    def passages(self, language: str) -> Iterator[TextBatch]:
        """Yield the passages of a language."""
        return self._texts(text_files(language)["passages"], "passage id")

    def triples(self) -> Iterator[TripleBatch]:
        """Yield the triples of the file, or groups of them."""
        if self._negatives is None:
            for lines, size in self._lines():
                offsets = np.arange(len(lines) + 1) * (lines.shape[1] - 2)
                yield TripleBatch(
                    lines[:, 0], lines[:, 1], lines[:, 2:].reshape(-1), offsets, bytes_read=size
                )
            return
        size = self.source_bytes(None)
        rounds = -(-size // GROUPED_BYTES)
        for number in range(rounds):  # of the queries, so that memory holds the lines of some
            chosen = [lines[lines[:, 0] % rounds == number] for lines, _ in self._lines()]
            yield from _grouped(np.concatenate(chosen), self._negatives, size // rounds)

    def _texts(self, file: str, id_name: str) -> Iterator[TextBatch]:
        for batch in read_columns(self._path(file), {id_name: INTEGER, "text": TEXT}):
            yield TextBatch(batch.column(0).to_numpy(), batch.column(1), batch.nbytes)

    def _lines(self) -> Iterator[tuple[IntArray, int]]:
        """Ids int64 (lines, 2 + negatives) of the file of triples, and their bytes."""
        path, left = self._path(self._triples), self._limit
        for batch in read_columns(path, _triple_columns(path)):
            rows = batch if left is None else batch.slice(0, left)
            if left is not None:
                left -= len(rows)
            yield np.stack([column.to_numpy() for column in rows.columns], axis=1), rows.nbytes
            if left == 0:
                return

    def _path(self, file: str) -> Path:
        assert self._root is not None
        return self._root / file


def text_files(language: str) -> dict[str, str]:
    """The files of the texts of a language, by kind.

    Raises:
        UserError: mMARCO has no such language.
    """
    if language not in LANGUAGE_NAMES:
        raise UserError(
            f"mMARCO has no {language!r}: choose data.languages from {', '.join(sorted(LANGUAGE_NAMES))}."
        )
    name = LANGUAGE_NAMES[language]
    return {
        "queries": f"data/google/queries/train/{name}_queries.train.tsv",
        "passages": f"data/google/collections/{name}_collection.tsv",
    }


def _triple_columns(path: Path) -> Mapping[str, pa.DataType]:
    first = next(iter_lines(path), "")
    fields = min(first.count("\t") + 1, _MOST_FIELDS)
    names = ["query", "positive", *(f"negative {n}" for n in range(1, fields - 1))]
    return dict.fromkeys(names, INTEGER)


def _grouped(lines: IntArray, most: int, size: int) -> Iterator[TripleBatch]:
    """Triples of at most so many negatives, from the lines of each query and positive."""
    lines = lines[np.lexsort((lines[:, 1], lines[:, 0]))]
    new = (lines[1:, 0] != lines[:-1, 0]) | (lines[1:, 1] != lines[:-1, 1])
    bounds = np.concatenate([[0], np.flatnonzero(new) + 1, [len(lines)]])[-1 - len(lines) :]
    firsts, ends = bounds[:-1], bounds[1:]
    for start in range(0, len(firsts), PAIRS_AT_ONCE):
        first, end = firsts[start : start + PAIRS_AT_ONCE], ends[start : start + PAIRS_AT_ONCE]
        negatives = lines[first[0] : end[-1], 2:].reshape(-1)
        of_pair = (end - first) * (lines.shape[1] - 2)
        groups = np.maximum(-(-of_pair // most), 1) if most else np.ones(len(first), dtype=np.int64)
        group = np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)
        counts = np.minimum(np.repeat(of_pair, groups) - group * most, most)
        triples = np.repeat(lines[first, :2], groups, axis=0)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        taken = negatives if most else negatives[:0]
        yield TripleBatch(triples[:, 0], triples[:, 1], taken, offsets, bytes_read=size if not start else 0)
