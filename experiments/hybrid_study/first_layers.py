"""Makes a backbone that is no retriever yet: first_layers.py <layers> <folder to write>.

The first layers of e5_small_q4. Its last layers are where contrastive training made sentence embeddings; the
mean of an earlier layer's states is a poor one, in one language as across languages.
"""

import sys
from pathlib import Path

from hybrid_retrieval.models.encoder import TextEncoder


def first_layers(layers: int, folder: Path) -> None:
    """Write e5_small_q4 without its layers after the first `layers`."""
    encoder = TextEncoder.load("e5_small_q4")
    transformer = encoder.transformer
    transformer.encoder.layer = transformer.encoder.layer[:layers]  # type: ignore[union-attr,index]
    transformer.config.num_hidden_layers = layers  # type: ignore[union-attr]
    encoder.save(folder)


if __name__ == "__main__":
    first_layers(int(sys.argv[1]), Path(sys.argv[2]))
