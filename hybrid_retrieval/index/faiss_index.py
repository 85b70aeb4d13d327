"""FAISS indexes over embeddings: trained, filled in chunks, searched, kept in a folder."""

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index import faiss_folder
from hybrid_retrieval.index.base import Vectors
from hybrid_retrieval.index.chunks import check_finite, checked_chunks, fingerprint_of, random_rows
from hybrid_retrieval.index.faiss_library import explained, import_faiss, to_device

INDEX, TRAINED = "index", "trained"
QUERIES_AT_ONCE = 1_024
TRAIN_SIZE_PER_LIST = 64  # FAISS asks for 39 to 256
LEAST_TRAIN_SIZE = 39 * 256  # for the 256 centroids of a product quantiser
PARAMETERS = {"nprobe": "nprobe", "ef_search": "efSearch", "k_factor": "k_factor_rf"}


@dataclass(frozen=True)
class IndexSpec:
    """What determines an index, beside the embeddings.

    Attributes:
        factory: FAISS's index factory string, such as "IVF4096,PQ48x4fs,RFlat".
        train_size: how many embeddings to train on, where the index needs training; None is 64 for each list
            of an inverted file and at least 9,984. They are in memory as float32 while training.
        seed: of the random positions of the embeddings trained on.
        ef_construction: HNSW's depth of search while adding; None is FAISS's 40.
    """

    factory: str
    train_size: int | None = None
    seed: int = 0
    ef_construction: int | None = None


class FaissIndex:
    """Inner-product search by a FAISS index; satisfies `hybrid_retrieval.index.base.Searcher`.

    Made by `build` or `load`. Which of two equal scores comes first is up to FAISS.

    Attributes:
        spec: what determines the index.
        fingerprint: of the embeddings.
        seconds: wall time of `train` and `add` when the index was built, and of `load` if it was loaded.
    """

    def __init__(
        self,
        index: Any,
        spec: IndexSpec,
        *,
        fingerprint: str,
        seconds: Mapping[str, float] | None = None,
        device: str = "auto",
    ) -> None:
        self._index, self._on_gpu = to_device(index, device)
        self.spec = spec
        self.fingerprint = fingerprint
        self.seconds = dict(seconds or {})

    @classmethod
    def build(
        cls, vectors: Vectors, spec: IndexSpec, *, device: str = "auto", folder: Path | None = None
    ) -> "FaissIndex":
        """Make the index of some embeddings, a chunk of them in memory at one time.

        Args:
            vectors: the embeddings; read once to train (and once more for their fingerprint, if they have no
                attribute `fingerprint`) and once to add.
            spec: which index.
            device: auto, cpu or cuda (the first GPU). FAISS keeps on the CPU what it has no GPU form of.
            folder: where to keep it. The index is loaded if it is there already; a run that was killed after
                training continues with adding. None keeps nothing.

        Raises:
            UserError: FAISS is not installed or refuses the factory string; there are too few embeddings to
                train on; an embedding is NaN or infinite; the folder holds another index or a damaged one.
        """
        if not len(vectors):
            raise UserError("There are no embeddings to index: the corpus is empty.")
        if folder is not None and (folder / f"{INDEX}.json").exists():
            return cls.load(folder, vectors, spec=spec, device=device)
        if folder is not None and (folder / f"{TRAINED}.json").exists():
            made = cls._read(folder, TRAINED, vectors, spec, device)
        else:
            made = cls._trained(vectors, spec, device)
            if folder is not None and "train" in made.seconds:
                made._write(folder, TRAINED)
        made._add(vectors)
        if folder is not None:
            made.save(folder)
        return made

    @classmethod
    def load(
        cls,
        folder: Path,
        vectors: Vectors | None = None,
        *,
        spec: IndexSpec | None = None,
        device: str = "auto",
    ) -> "FaissIndex":
        """Load an index that `save` wrote.

        Args:
            folder: where it is.
            vectors: the embeddings that it must be of; None does not check.
            spec: the specification that it must have; None does not check.
            device: as in `build`.

        Raises:
            UserError: no index there, a file missing, truncated or damaged, or an index of other embeddings
                or of another specification.
        """
        started = time.perf_counter()
        made = cls._read(folder, INDEX, vectors, spec, device)
        made.seconds["load"] = time.perf_counter() - started
        return made

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def set_search(
        self, *, nprobe: int | None = None, ef_search: int | None = None, k_factor: int | None = None
    ) -> None:
        """Set how thoroughly to search; None leaves a parameter as it is.

        Args:
            nprobe: lists of an inverted file to visit (FAISS's own: 1).
            ef_search: HNSW's depth of search, at least k in effect (FAISS's own: 16).
            k_factor: how many candidates, in multiples of k, the last stage of a refined index (RFlat,
                Refine) scores anew (FAISS's own: 1, which reorders the k found and adds none).

        Raises:
            UserError: the index has no such parameter, or the value is below 1.
        """
        faiss = import_faiss()
        space = faiss.GpuParameterSpace() if self._on_gpu else faiss.ParameterSpace()
        for name, value in {"nprobe": nprobe, "ef_search": ef_search, "k_factor": k_factor}.items():
            if value is None:
                continue
            if value < 1:
                raise UserError(f"index.{name}={value} must be at least 1.")
            with explained(f"index.{name}={value} does not apply to the index {self.spec.factory!r}"):
                space.set_index_parameter(self._index, PARAMETERS[name], value)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search with every query, as `Searcher.search` says.

        Raises:
            UserError: the queries have another dimension than the index, or are not finite; or FAISS cannot
                search with this k (its GPU indexes stop at 2,048).
            ValueError: k is below 1.
        """
        if k < 1:
            raise ValueError(f"k={k} must be at least 1")
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise UserError(
                f"The index has {self.dimension} dimensions, the queries have shape {queries.shape}. Embed "
                "queries and corpus with one model, or build the index again."
            )
        check_finite(queries, "query embeddings")
        k = min(k, len(self))
        scores = np.empty((len(queries), k), dtype=np.float32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            block = slice(start, start + QUERIES_AT_ONCE)
            some = np.ascontiguousarray(queries[block], dtype=np.float32)
            with explained(f"FAISS cannot search the index {self.spec.factory!r} with k={k}"):
                scores[block], positions[block] = self._index.search(some, k)
        scores[positions < 0] = -np.inf
        return scores, positions

    def bytes(self) -> int:
        """Size of the index in a file, which is about what it takes of memory."""
        count = 0

        def write(block: bytes) -> None:
            nonlocal count
            count += len(block)

        faiss = import_faiss()
        faiss.write_index(self._cpu_index(), faiss.PyCallbackIOWriter(write, 1 << 20))
        return count

    def save(self, folder: Path) -> None:
        """Write the index into a folder, in place of an index that is there.

        Args:
            folder: made if it does not exist; other files in it are left alone.
        """
        self._write(folder, INDEX)
        faiss_folder.delete(folder, TRAINED)

    @classmethod
    def _trained(cls, vectors: Vectors, spec: IndexSpec, device: str) -> "FaissIndex":
        """An index without embeddings."""
        faiss = import_faiss()
        refused = (
            f"index.factory={spec.factory!r} makes no inner-product index in {vectors.dimension} dimensions"
        )
        with explained(refused, "See https://github.com/facebookresearch/faiss/wiki/The-index-factory."):
            index = faiss.index_factory(vectors.dimension, spec.factory, faiss.METRIC_INNER_PRODUCT)
        if spec.ef_construction is not None:
            with explained(f"index.ef_construction does not apply to the index {spec.factory!r}"):
                faiss.ParameterSpace().set_index_parameter(index, "efConstruction", spec.ef_construction)
        made = cls(index, spec, fingerprint=fingerprint_of(vectors), device=device)
        if not made._index.is_trained:
            started = time.perf_counter()
            size = min(len(vectors), spec.train_size or default_train_size(spec.factory))
            sample = random_rows(vectors, size, spec.seed)
            few = f"FAISS cannot train {spec.factory!r} on {size:,} of {len(vectors):,} embeddings"
            with explained(few, "Use fewer lists or centroids, a greater index.train_size, or index=exact."):
                made._index.train(sample)
            made.seconds["train"] = time.perf_counter() - started
        return made

    def _add(self, vectors: Vectors) -> None:
        started = time.perf_counter()
        for chunk in checked_chunks(vectors):
            with explained(f"FAISS cannot add embeddings chunk by chunk to {self.spec.factory!r}"):
                self._index.add(chunk)
        self.seconds["add"] = time.perf_counter() - started

    def _cpu_index(self) -> Any:
        return import_faiss().index_gpu_to_cpu(self._index) if self._on_gpu else self._index

    def _write(self, folder: Path, name: str) -> None:
        seconds = {step: took for step, took in self.seconds.items() if step != "load"}
        contents = faiss_folder.Contents(
            self.dimension, len(self), self.fingerprint, asdict(self.spec), seconds
        )
        faiss_folder.write_folder(folder, name, self._cpu_index(), contents)

    @classmethod
    def _read(
        cls, folder: Path, name: str, vectors: Vectors | None, spec: IndexSpec | None, device: str
    ) -> "FaissIndex":
        stored = faiss_folder.read_contents(folder, name)
        path, advice = folder / f"{name}.json", faiss_folder.advice(folder)
        if vectors is not None:
            count = len(vectors) if name == INDEX else 0
            if (stored.dimension, stored.vectors) != (vectors.dimension, count):
                raise UserError(
                    f"{path}: the index has {stored.vectors} embeddings of {stored.dimension} dimensions, "
                    f"the corpus {len(vectors)} of {vectors.dimension}. {advice}"
                )
            if stored.fingerprint != fingerprint_of(vectors):
                raise UserError(f"{path}: the index was built from other embeddings than these. {advice}")
        try:
            stored_spec = IndexSpec(**stored.spec)
        except TypeError as error:
            raise UserError(f"{path}: damaged ({error}). {advice}") from None
        if spec is not None and stored_spec != spec:
            raise UserError(f"{path}: the index is {stored_spec}, not {spec}. {advice}")
        index = faiss_folder.read_index(folder, name)
        return cls(index, stored_spec, fingerprint=stored.fingerprint, seconds=stored.seconds, device=device)


def default_train_size(factory: str) -> int:
    """How many embeddings to train an index on, if there are so many.

    Args:
        factory: FAISS's index factory string.
    """
    lists = re.search(r"IVF(\d+)([kM]?)", factory)
    scale = {"": 1, "k": 1 << 10, "M": 1 << 20}
    return max(LEAST_TRAIN_SIZE, TRAIN_SIZE_PER_LIST * int(lists[1]) * scale[lists[2]] if lists else 0)
