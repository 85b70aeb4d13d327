from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.statistics import duplicates
from hybrid_retrieval.data.statistics.duplicates import equal_in_two, repeats, text_pairs
from hybrid_retrieval.data.statistics.sampled import QUANTILES, quantiles
from hybrid_retrieval.data.statistics.text_hashes import MISSING, hash_texts
from tests.data.memory_reader import SMALL, opened

TEXTS = st.lists(st.none() | st.text(alphabet="aAä中\u6261 ", max_size=3), max_size=30)


def _names(ids: Sequence[int]) -> list[str]:
    return [f"id{number}" for number in ids]


@given(TEXTS)
def test_hashes_are_equal_where_texts_are(texts: list[str | None]) -> None:
    hashes = hash_texts(texts)
    for (one, first), (other, second) in combinations(zip(texts, hashes.tolist(), strict=True), 2):
        assert (one == other) == (first == second)
    assert [text is None for text in texts] == (hashes == MISSING).tolist()


def test_texts_of_equal_bytes_in_memory_have_different_hashes() -> None:
    """CPython's hash of `ab` and of U+6261, which it keeps as the same two bytes, is the same."""
    wide = "ab".encode("latin-1").decode("utf-16-le")
    first, second = hash_texts(["ab", wide]).tolist()
    assert hash("ab") == hash(wide)
    assert first != second


@given(st.lists(st.sampled_from("abcdef"), max_size=30))
def test_repeats_count_what_is_there_already(texts: list[str]) -> None:
    found = repeats(hash_texts(texts), np.arange(len(texts)), _names)
    assert found["count"] == len(texts) - len(set(texts))
    for first, second in found["examples"]:
        one, other = int(first[2:]), int(second[2:])
        assert one < other
        assert texts[one] == texts[other]
        assert texts[one] not in texts[:one]
    assert len(found["examples"]) == min(5, sum(n > 1 for n in Counter(texts).values()))


@given(st.lists(st.lists(st.sampled_from(["a", "b", None]), min_size=6, max_size=6), min_size=2, max_size=4))
def test_equal_texts_are_counted_by_pair_and_by_language(columns: list[list[str | None]]) -> None:
    languages = ["de", "en", "fr", "zh-hant"][: len(columns)]
    found = equal_in_two([hash_texts(column) for column in columns], languages, _names)

    for (one, first), (other, second) in combinations(zip(languages, columns, strict=True), 2):
        same = [i for i in range(6) if first[i] is not None and first[i] == second[i]]
        both = [i for i in range(6) if first[i] is not None and second[i] is not None]
        pair = found["pairs"].get(f"{one}/{other}", {"count": 0, "examples": [], "of": len(both)})
        assert (pair["count"], pair["of"], pair["examples"]) == (len(same), len(both), _names(same[:5]))
    for language, own in zip(languages, columns, strict=True):
        others = [column for code, column in zip(languages, columns, strict=True) if code != language]
        shared = [i for i in range(6) if own[i] is not None and any(own[i] == other[i] for other in others)]
        assert found["by_language"][language] == len(shared)
    assert found["count"] == sum(found["by_language"].values())


@pytest.mark.parametrize("part", [1, 2, 1000])
def test_pairs_of_a_language_do_not_depend_on_the_parts_read(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "PART", part)
    splits = list(opened(SMALL, tmp_path / "c", 0.3).values())
    names = [MappedTexts(tmp_path / "c" / "ids" / f"{kind}.arrow") for kind in ("queries", "passages")]
    for language, rows in SMALL.items():
        queries, positives = text_pairs(splits, language)
        assert (np.diff(queries) >= 0).all()
        found = [(names[0][q], names[1][p]) for q, p in zip(queries, positives, strict=True)]
        assert sorted(map(str, found)) == sorted(str((row.id, row.passage_id)) for row in rows)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_quantiles_are_those_of_the_inverted_distribution(values: list[int]) -> None:
    """The least value that so many percent of the values do not exceed."""
    found = quantiles(np.array(values))
    assert found == {
        name: min(v for v in values if 100 * sum(w <= v for w in values) >= percent * len(values))
        for name, percent in QUANTILES.items()
    }
