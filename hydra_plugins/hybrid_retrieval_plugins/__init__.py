"""Hydra plugins: thin classes over `hybrid_retrieval.sweeps`, as every Hydra start imports them."""
