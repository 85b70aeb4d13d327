"""The switches of `data.clean`, against plain loops over rows in memory."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hybrid_retrieval.data.cleaning.grams import gram_length
from hybrid_retrieval.data.cleaning.settings import CleaningSettings
from hybrid_retrieval.data.parallel import SPLITS
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from tests.data.cleaning.cleaned_corpora import PASSAGES, Kept, cleaned, report, switches
from tests.data.memory_reader import RowsByLanguage

CHINESE = [
    "细胞壁长成以后细胞就会分裂然后两个细胞并排站在一起",
    "细胞壁长成以后细胞就会分裂然后两个细胞并排站着",
    "另一段短文",
]
QUESTIONS = ["When?", "when?", "Ｗｈｅｎ?", "How does a cell divide?", "Why"]


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def similarity(one: str, other: str, language: str) -> float:
    """Jaccard similarity of the 5-grams of words without case, or of the n-grams of Chinese characters."""
    units = [list(text) if language == "zh" else text.lower().split() for text in (one, other)]
    size = gram_length("zh", 5) if language == "zh" else 5
    sets = [{tuple(u[i : i + size]) for i in range(max(1, len(u) - size + 1))} for u in units]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def reference(rows: RowsByLanguage, chosen: CleaningSettings) -> Kept:
    """What stays, by loops over all pairs of rows."""
    ids = list(dict.fromkeys(row.id for language in sorted(rows) for row in rows[language]))
    kept: Kept = set()
    for language, of_language in rows.items():
        order = sorted(of_language, key=lambda row: (-SPLITS.index(row.split or "train"), ids.index(row.id)))
        left: list[Row] = []
        for row in order:
            if len(row.question) < (chosen.min_question_chars or 0):
                continue
            if len(row.passage) > (chosen.max_passage_chars or len(row.passage)):
                continue
            twins = [
                other
                for other in left
                if (plain(other.question), plain(other.passage)) == (plain(row.question), plain(row.passage))
            ]
            if not (chosen.exact_duplicates and twins):
                left.append(row)
        stays: list[Row] = []
        for row in left:
            if chosen.near_duplicates is None or not any(
                similarity(row.passage, other.passage, language) >= chosen.near_duplicates
                for other in stays
                if other.passage_id != row.passage_id
            ):
                stays.append(row)
        kept |= {(row.split or "train", language, row.id) for row in stays}
    return kept


@st.composite
def sources(draw: st.DrawFn) -> RowsByLanguage:
    splits = draw(st.lists(st.sampled_from([None, *SPLITS]), min_size=1, max_size=8))
    rows: RowsByLanguage = {}
    for language in ("en", "zh"):
        rows[language] = [
            Row(
                f"r{number}",
                draw(st.sampled_from(QUESTIONS)),
                draw(st.sampled_from(CHINESE if language == "zh" else PASSAGES)),
                f"p{number}",
                split=split,
            )
            for number, split in draw(st.permutations(list(enumerate(splits))))
            if draw(st.booleans()) or (number == 0 and language == "en")
        ]
    return {language: of_language for language, of_language in rows.items() if of_language}


SETTINGS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    exact_duplicates=st.booleans(),
    near_duplicates=st.sampled_from([None, 0.5, 0.9, 1]),
    min_question_chars=st.sampled_from([None, 5]),
    max_passage_chars=st.sampled_from([None, 60]),
)


@hypothesis_settings(max_examples=25, deadline=None, derandomize=True)
@given(sources(), SETTINGS)
def test_equals_plain_loops_and_cleaning_again_removes_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: RowsByLanguage, values: dict[str, Any]
) -> None:
    folder, cleaning = tmp_path_factory.mktemp("c"), switches(**values)
    expected = reference(rows, cleaning.settings)
    if not expected:
        with pytest.raises(
            UserError, match=r"Cleaning leaves nothing of memory; rows removed: .*data\.clean\."
        ):
            cleaned(rows, folder / "c", cleaning)
        return
    assert cleaned(rows, folder / "c", cleaning) == expected
    backwards = {language: rows[language] for language in reversed(rows)}
    assert cleaned(backwards, folder / "b", cleaning, languages=sorted(rows, reverse=True)) == expected
    if not cleaning.settings.on:
        assert "cleaning" not in json.loads((folder / "c" / "corpus.json").read_text())
        return
    report(folder / "c")
    again = {
        language: [row for row in of_language if (row.split or "train", language, row.id) in expected]
        for language, of_language in rows.items()
    }
    again = {language: of_language for language, of_language in again.items() if of_language}
    assert cleaned(again, folder / "again", cleaning) == expected
    assert not any(sum(counts.values()) for counts in report(folder / "again").values())
