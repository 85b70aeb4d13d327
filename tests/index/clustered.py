"""Embeddings for tests of indexes."""

import numpy as np

DIMENSION = 16


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION))
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def clustered(rows: int, clusters: int = 20, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, DIMENSION))
    vectors = centres[generator.integers(clusters, size=rows)]
    vectors = vectors + 0.3 * generator.standard_normal((rows, DIMENSION))
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled
