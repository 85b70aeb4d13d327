import pytest

from hybrid_retrieval.evaluation.language_bias.catalogue import BY_DOCUMENT_LANGUAGE, BY_QUERY, Measure

EVERY = {**BY_QUERY, **BY_DOCUMENT_LANGUAGE}


@pytest.mark.parametrize("measure", EVERY.values(), ids=list(EVERY))
def test_every_measure_can_be_shown(measure: Measure) -> None:
    assert 0 < len(measure.title) <= 40
    assert measure.meaning.endswith(".")
    assert measure.better in ("higher", "lower", "neither")


def test_titles_are_told_apart() -> None:
    assert len({measure.title for measure in EVERY.values()}) == len(EVERY)
