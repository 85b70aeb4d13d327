"""Both forms of the alignment term, and that translations move together."""

import pytest
import torch

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.losses.terms.alignment import alignment
from tests.losses.terms.pushes import at_degrees, descend, unit


def test_cosine_form_by_hand() -> None:
    assert float(alignment(at_degrees(0, 10), at_degrees(60, 190))) == pytest.approx((0.5 + 2) / 2)


def test_contrastive_form_is_symmetric_info_nce() -> None:
    texts, translations, ids = (
        unit(6),
        unit(6, seed=1),
        PairIds(torch.tensor([3, 1, 1, 9, 8, 7]), torch.arange(6)),
    )
    same = ids.query[:, None] == ids.query

    found = alignment(texts, translations, same, temperature=0.1)

    torch.testing.assert_close(found, InfoNCE(0.1, reverse=1.0)(texts, translations, ids))
    torch.testing.assert_close(found, alignment(translations, texts, same, temperature=0.1))
    assert float(found) < float(alignment(texts, translations, temperature=0.1))


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_pushes_translations_together_from_both_sides(temperature: float | None) -> None:
    texts, translations = at_degrees(0, 180), at_degrees(40, 220)

    moved = descend(lambda x, y: alignment(x, y, temperature=temperature), texts, translations)

    before, after = (texts * translations).sum(1), (moved[0] * moved[1]).sum(1)
    assert (after > before + 1e-4).all()
    assert (torch.stack([(moved[0] * translations).sum(1), (texts * moved[1]).sum(1)]) > before + 1e-5).all()


def test_contrastive_form_pushes_other_translations_away() -> None:
    texts, translations = at_degrees(0, 20), at_degrees(0, 20)

    moved = descend(lambda x: alignment(x, translations, temperature=0.1), texts)[0]

    assert float(moved[0] @ translations[1]) < float(texts[0] @ translations[1]) - 1e-4


def test_equal_texts_have_the_value_zero() -> None:
    assert float(alignment(unit(4), unit(4))) == pytest.approx(0, abs=1e-6)
