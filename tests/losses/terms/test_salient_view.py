"""Both parts of the salient-view term, and where it pushes passages."""

import math

import pytest
import torch

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.losses.terms.salient_view import salient_view
from tests.losses.terms.pushes import at_degrees, descend, unit


def test_by_hand() -> None:
    """Cosines of passages and views 0 and 1; of passages and remainders 1/2 and -1/2."""
    passages, views = at_degrees(0, 90), at_degrees(0, 90)
    remainders = at_degrees(60, 150)

    sufficiency = math.log(math.e + 1) - 1
    independence = [
        math.log(math.e + math.exp(0.5) + math.exp(math.cos(math.radians(150)))) - 1,
        math.log(math.e + math.exp(math.cos(math.radians(30))) + math.exp(0.5)) - 1,
    ]
    found = salient_view(passages, views, None, remainders, temperature=1.0, independence=0.3)
    assert float(found) == pytest.approx(sufficiency + 0.3 * sum(independence) / 2)


def test_without_independence_it_is_info_nce_and_needs_no_remainders() -> None:
    passages, views, ids = (
        unit(6),
        unit(6, seed=1),
        PairIds(torch.tensor([3, 1, 1, 9, 8, 7]), torch.arange(6)),
    )
    same = ids.query[:, None] == ids.query

    found = salient_view(passages, views, same, temperature=0.1, independence=0)

    torch.testing.assert_close(found, InfoNCE(0.1)(passages, views, ids))
    with pytest.raises(ValueError, match="remainders are missing"):
        salient_view(passages, views, same)


def test_pushes_passages_to_their_views_and_away_from_remainders() -> None:
    passages, views, remainders = at_degrees(0, 180), at_degrees(40, 220), at_degrees(-20, 160)

    moved = descend(
        lambda x, v, r: salient_view(x, v, None, r, temperature=1.0, independence=1.0),
        *(passages, views, remainders),
        rate=0.1,
    )

    for x, v, r in [(moved[0], views, remainders), (passages, moved[1], moved[2])]:
        assert ((x * v).sum(1) > (passages * views).sum(1) + 1e-4).all()
        assert ((x * r).sum(1) < (passages * remainders).sum(1) - 1e-4).all()


def test_pushes_away_from_the_views_of_other_passages() -> None:
    passages, views = at_degrees(0, 60), at_degrees(0, 60)

    moved = descend(lambda x: salient_view(x, views, independence=0.0), passages)[0]

    assert float(moved[0] @ views[1]) < float(passages[0] @ views[1]) - 1e-4
