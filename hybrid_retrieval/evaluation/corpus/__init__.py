"""Retrieval from corpora too large for memory: read as streams, encoded in shards, searched to a depth."""
