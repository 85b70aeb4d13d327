from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.statistics.parallel_rows import columns, fitted, parallel_rows
from hybrid_retrieval.errors import UserError
from tests.data.memory_reader import SMALL, MemoryReader


@given(st.text(alphabet="ab 中か\u0301", max_size=40), st.integers(3, 30))
def test_a_cell_has_its_width_and_begins_like_the_text(text: str, width: int) -> None:
    cell = fitted(text, width)
    assert columns(cell) == width
    assert " ".join(text.split()).startswith(cell.rstrip().removesuffix("…"))


def test_cuts_are_between_words_and_wide_characters_take_two_columns() -> None:
    assert fitted("one two three", 9) == "one two… "
    assert fitted("onetwothree", 6) == "onetw…"
    assert fitted("日本語", 6) == "日本語"
    assert fitted("日本語", 5) == "日本…"
    assert columns("é".replace("é", "e\u0301")) == 1


def _shown(folder: Path, languages: list[str] | None, count: int) -> list[str]:
    return list(parallel_rows(folder, languages, count, 60))


def test_rows_in_most_languages_come_first_with_their_negatives(tmp_path: Path) -> None:
    """r0 is in three languages, r1 and r2 in two, r3 in two."""
    folder = tmp_path / "c"
    build_corpus(MemoryReader(SMALL), folder)
    (first, *cells) = _shown(folder, None, 1)
    assert first == "memory, train: r0, passage p0"
    assert [line[:2] for line in cells] == ["de", "en", "th", ""]
    assert cells[1].split() == ["en", "en", "question", "0", "en", "passage", "0"]
    everything = _shown(folder, None, 9)
    assert [line.split()[2][:2] for line in everything if line.startswith("memory")] == [
        "r0",
        "r1",
        "r2",
        "r3",
    ]
    assert everything.count("hard negatives: p0, p1") == 1
    assert max(map(len, everything)) <= 60


def test_languages_are_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    build_corpus(MemoryReader(SMALL), folder)
    lines = _shown(folder, ["th", "xx"], 5)
    assert {line[:2] for line in lines} == {"me", "th", ""}
    assert sum(line.startswith("memory") for line in lines) == 2
    with pytest.raises(UserError, match=r"memory has no data in xx: choose data\.languages from de, en, th"):
        _shown(folder, ["xx"], 5)


def test_line_breaks_of_a_text_do_not_break_a_row(tmp_path: Path) -> None:
    rows = {code: [replace(SMALL["en"][0], question="a\nb", passage="c\r\n\td")] for code in ("de", "en")}
    build_corpus(MemoryReader(rows), tmp_path / "c")
    lines = _shown(tmp_path / "c", None, 1)
    assert [line.split() for line in lines[1:3]] == [["de", "a", "b", "c", "d"], ["en", "a", "b", "c", "d"]]
