"""Which rows each switch of `data.clean` removes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.cleaning.settings import Cleaning, CleaningSettings
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.mmarco import TRIPLES, text_files
from tests.data.cleaning.cleaned_corpora import PASSAGES, Leaks, cleaned, report, switches
from tests.data.small_mmarco import Small, found_triples, write_lines, write_small


def test_rows_of_one_passage_are_no_near_duplicates_of_each_other(tmp_path: Path) -> None:
    rows = {"en": [Row(f"r{n}", f"question {n}", PASSAGES[0], "p0") for n in range(3)]}
    rows["en"].append(Row("r3", "question 3", PASSAGES[1], "p1"))
    kept = cleaned(rows, tmp_path / "c", switches(near_duplicates=0.8))
    assert kept == {("train", "en", f"r{n}") for n in range(3)}


@pytest.mark.parametrize("switch", [{"exact_duplicates": True}, {"near_duplicates": 0.9}])
def test_what_is_evaluated_on_stays_and_train_loses_its_copy(tmp_path: Path, switch: dict[str, Any]) -> None:
    copies: dict[str, Any] = {"train": "a", "validation": "b", "test": "c"}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        rows = {
            "en": [
                Row(copies[split], "When?", PASSAGES[0], copies[split], split=split)  # type: ignore[arg-type]
                for split in (one, other)
            ]
        }
        assert cleaned(rows, tmp_path / one / other, switches(**switch)) == {(other, "en", copies[other])}


def test_a_drawn_validation_passage_keeps_its_row(tmp_path: Path) -> None:
    rows = {"en": [Row(f"r{n}", "When?", PASSAGES[0], f"p{n}") for n in range(20)]}
    everything = cleaned(rows, tmp_path / "all", Cleaning(), validation_fraction=0.3)
    [(split, _, name)] = cleaned(
        rows, tmp_path / "c", switches(exact_duplicates=True), validation_fraction=0.3
    )
    validation = [f"r{n}" for n in range(20) if ("validation", "en", f"r{n}") in everything]
    assert (split, name) == ("validation", validation[0])


def test_an_untranslated_passage_goes_where_it_does_not_fit(tmp_path: Path) -> None:
    rows = {
        language: [Row("r0", f"{language}?", "The same everywhere", "p0"), Row("r1", "1?", text, "p1")]
        for language, text in {"de": "Ein Satz", "en": "A sentence", "zh": "一句话"}.items()
    }
    kept = cleaned(rows, tmp_path / "c", switches(same_text=True))
    assert kept == {("train", code, "r1") for code in rows} | {("train", "en", "r0")}
    assert report(tmp_path / "c") == {"same_text": {"de": 1, "en": 0, "zh": 1}}
    assert ParallelCorpus.open(tmp_path / "c", "train").triples_by_languages() == {1: 1, 3: 1}


def test_a_contaminated_text_removes_its_triples_in_all_languages(tmp_path: Path) -> None:
    rows = {
        code: [Row(f"r{n}", f"{code} {n}", f"{code} passage {n}", f"p{n}") for n in range(4)]
        for code in ("de", "en", "zh")
    }
    rows["en"][1] = replace(rows["en"][1], question="leaked")
    rows["zh"][2] = replace(rows["zh"][2], passage="also leaked")
    del rows["de"][2]
    cleaning = Cleaning(CleaningSettings(decontaminate=("some",)), Leaks())  # type: ignore[arg-type]
    kept = cleaned(rows, tmp_path / "c", cleaning)
    assert kept == {("train", code, name) for code in rows for name in ("r0", "r3")}
    assert report(tmp_path / "c") == {"decontaminate": {"de": 1, "en": 2, "zh": 2}}


def test_a_triple_without_a_row_in_a_needed_language_is_left_out(tmp_path: Path) -> None:
    rows = {
        code: [Row("r0", "When is it?", f"{code} text", "p0"), Row("r1", f"{code}?", f"{code} 1", "p1")]
        for code in ("de", "en")
    }
    rows["en"][1] = replace(rows["en"][1], question="When is it now?")
    kept = cleaned(rows, tmp_path / "c", switches(min_question_chars=5), needed=["de", "en"])
    assert kept == {("train", code, "r0") for code in rows}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path / "mmarco")


def test_shared_triples_with_other_negatives_are_no_duplicates(small: Small, tmp_path: Path) -> None:
    build_corpus(small.source(), tmp_path / "c", cleaning=switches(exact_duplicates=True))
    assert sorted(found_triples(ParallelCorpus.open(tmp_path / "c", "train"))) == sorted(small.triples)


def test_shared_triples_lose_the_pairs_that_repeat_others_of_other_ids(tmp_path: Path) -> None:
    small = write_small(tmp_path / "mmarco", holes=False, lines=0)
    queries, source = list(small.queries["en"])[:3], tmp_path / "again"
    for language in small.queries:
        small.queries[language][queries[1]] = small.queries[language][queries[0]]
        small.passages[language][1] = small.passages[language][0].upper()
    small.passages["hi"][1] = "different"
    triples = [
        (queries[0], 0, 5),
        (queries[0], 0, 6),
        (queries[1], 1, 7),
        (queries[1], 1, 8),
        (queries[2], 1, 5),
    ]
    _write(small, source, triples)
    build_corpus(
        replace(small, folder=source).source(), tmp_path / "c", cleaning=switches(exact_duplicates=True)
    )
    assert report(tmp_path / "c") == {"exact_duplicates": {"de": 2, "en": 2, "hi": 0}}
    corpus = ParallelCorpus.open(tmp_path / "c", "train")
    assert sorted(found_triples(corpus)) == sorted(triples)
    assert corpus.triples_by_languages() == {1: 2, 3: 3}


def _write(small: Small, folder: Path, triples: list[tuple[int, int, int]]) -> None:
    for language in small.queries:
        for kind, texts in (("queries", small.queries), ("passages", small.passages)):
            write_lines(folder / text_files(language)[kind], [*texts[language].items()])
    write_lines(folder / TRIPLES, triples)
