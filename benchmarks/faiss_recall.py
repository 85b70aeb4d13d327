"""FAISS indexes against exact search: time to build and to search, size, recall."""

import argparse
import time

import faiss
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.index.chunks import ArrayVectors
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.factory import open_index
from hybrid_retrieval.index.faiss_index import FaissIndex
from hybrid_retrieval.index.recall import CUTOFFS, measure_recall

KINDS = ("flat", "ivf", "ivfpq", "hnsw")


def clustered(
    rows: int, dimension: int, clusters: int, queries: int, rank: int = 48
) -> tuple[np.ndarray, np.ndarray]:
    """A mixture of unit vectors, and queries near some of them.

    Each cluster is a centre and Gaussian noise in `rank` shared directions, whose scale falls from 1: text
    embeddings, too, vary in few of their dimensions, and recall on noise in all of them means nothing. A
    query is a document and a third of such noise.
    """
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.standard_normal((dimension, rank)))[0].T.astype(np.float32)
    scales = (np.arange(1, rank + 1) ** -0.5).astype(np.float32)

    def noise(count: int) -> np.ndarray:
        return (generator.standard_normal((count, rank), dtype=np.float32) * scales) @ directions

    centres = 1.5 * noise(clusters)
    weights = 1 / np.arange(1, clusters + 1) ** 0.5
    drawn = generator.choice(clusters, size=rows, p=weights / weights.sum())
    documents = centres[drawn] + noise(rows)
    near = documents[generator.choice(rows, queries, replace=False)] + noise(queries) / 3
    return tuple(of / np.linalg.norm(of, axis=1, keepdims=True) for of in (documents, near))  # type: ignore[return-value]


def main() -> None:
    """Build every kind of index over the same vectors and print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    documents, queries = clustered(
        arguments.vectors, arguments.dimension, max(1, arguments.vectors // 200), arguments.queries
    )
    vectors = ArrayVectors(documents)
    exact = ExactSearch(vectors)
    exact.search(queries[:8], max(CUTOFFS))
    print(
        f"{len(documents):,} vectors x {arguments.dimension}, {len(queries)} queries at once, k = "
        f"{max(CUTOFFS)}, threads: {arguments.threads}. Times in units of one exact search of all queries."
    )
    print(f"{'index':8} {'factory':40} {'build':>8} {'search':>8} {'size':>6}  recall@10  recall@100")
    for kind in arguments.kinds:
        cfg = OmegaConf.load(config_folder() / "index" / f"{kind}.yaml")
        assert isinstance(cfg, DictConfig)
        cfg.device = "cpu"
        started = time.perf_counter()
        index = open_index(cfg, vectors)
        built = time.perf_counter() - started
        assert isinstance(index, FaissIndex)
        measured = measure_recall(index, vectors, queries, exact=exact)
        took = measured["seconds"]
        print(
            f"{kind:8} {index.spec.factory:40} {built / took['exact_search']:8.1f} "
            f"{took['search'] / took['exact_search']:8.3f} {index.bytes() / documents.nbytes:6.2f}  "
            f"{measured['recall@10']:9.3f}  {measured['recall@100']:10.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
