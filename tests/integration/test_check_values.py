"""The published figures of the untrained offline backbone; minutes of two cores."""

from pathlib import Path

import pytest

from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.evaluate import evaluate
from hybrid_retrieval.models.backbones import prepare_backbone
from hybrid_retrieval.models.encoder import TextEncoder


@pytest.mark.slow
@pytest.mark.network
def test_zero_shot_xquad_r_of_e5_small_q4(xquad_r_folder: Path) -> None:
    prepare_backbone("e5_small_q4")
    metrics = evaluate(
        EncoderEmbedder(TextEncoder.load("e5_small_q4")), xquad_r(xquad_r_folder), progress=False
    ).metrics
    assert metrics["monolingual"]["map"] == pytest.approx(0.800, abs=0.003)
    assert metrics["cross_lingual"]["map"] == pytest.approx(0.640, abs=0.003)
    assert metrics["multilingual"]["map"] == pytest.approx(0.298, abs=0.003)
    assert metrics["language_bias"]["rank_distance"] == pytest.approx(1214, rel=0.01)
