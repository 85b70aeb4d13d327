"""The switches of `data.clean`, against plain loops over rows in memory."""

import json
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hybrid_retrieval.data import language_stages
from hybrid_retrieval.data.build import build_corpus, prepare_corpus
from hybrid_retrieval.data.cleaning.grams import gram_length
from hybrid_retrieval.data.cleaning.settings import Cleaning, CleaningSettings
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.mmarco import TRIPLES, text_files
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.errors import UserError
from tests.data.memory_reader import MemoryReader, RowsByLanguage
from tests.data.test_mmarco import Small, found_triples, write_lines, write_small

Kept = set[tuple[str, str, str]]  # split, language, id


def cleaned(rows: RowsByLanguage, folder: Path, cleaning: Cleaning, **options: Any) -> Kept:
    build_corpus(MemoryReader(rows), folder, cleaning=cleaning, **options)
    return found(folder)


def found(folder: Path) -> Kept:
    corpora = [ParallelCorpus.open(folder, split) for split in SPLITS]
    return {
        (c.split, language, row.id) for c in corpora for language in c.languages for row in c.rows(language)
    }


def report(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "corpus.json").read_text())
    assert {
        code: before - sum(removed[code] for removed in content["cleaning"]["removed"].values())
        for code, before in content["cleaning"]["rows_before"].items()
    } == content["cleaning"]["rows_after"]
    assert content["cleaning"]["rows_after"] == content["counts"]["rows"]
    return content["cleaning"]["removed"]  # type: ignore[no-any-return]


def switches(**values: Any) -> Cleaning:
    return Cleaning(CleaningSettings.from_config(values))


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


WORDS = [
    "the",
    "cell",
    "divides",
    "when",
    "its",
    "wall",
    "has",
    "grown",
    "and",
    "then",
    "two",
    "of",
    "them",
    "stand",
    "side",
    "by",
    "side",
    "again",
]
PASSAGES = [
    " ".join(WORDS),
    " ".join(WORDS[:-1]),
    " ".join(WORDS[:9] + WORDS[11:]),
    " ".join(reversed(WORDS)),
    "a short one",
    "A  SHORT\tone",
]
CHINESE = [
    "细胞壁长成以后细胞就会分裂然后两个细胞并排站在一起",
    "细胞壁长成以后细胞就会分裂然后两个细胞并排站着",
    "另一段短文",
]
QUESTIONS = ["When?", "when?", "Ｗｈｅｎ?", "How does a cell divide?", "Why"]


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


@dataclass
class Leaks:
    """Finds the word "leaked"."""

    fingerprint: str = "leaks"

    def contaminated(self, texts: Iterable[str | None], language: str) -> npt.NDArray[np.bool_]:
        return np.array([text is not None and "leaked" in text for text in texts])


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


ROWS: RowsByLanguage = {
    code: [Row(f"r{n}", f"{code} {n % 3}", f"{code} {PASSAGES[n % 4]}", f"p{n}") for n in range(8)]
    for code in ("de", "en", "zh")
}
ALL = {"exact_duplicates": True, "near_duplicates": 0.8, "same_text": True, "min_question_chars": 3}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_cleaning_can_be_interrupted_after_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _bytes(prepare_corpus(MemoryReader(ROWS), tmp_path / "once", cleaning=switches(**ALL)))
    finish, stages = Stages.finish, list[str]()

    def dies(self: Stages, stage: str, paths: Iterable[Path]) -> None:
        finish(self, stage, paths)
        stages.append(stage)
        raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "finish", dies)
    while True:
        try:
            folder = prepare_corpus(MemoryReader(ROWS), tmp_path / "cache", cleaning=switches(**ALL))
            break
        except KeyboardInterrupt:
            assert not list((tmp_path / "cache" / "corpora").glob("[!.]*"))
    assert len(stages) == len(set(stages)) == 2 * len(ROWS) + 1 + 2 * len(ROWS) + 2
    assert _bytes(folder) == expected


def test_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepare_corpus(MemoryReader(ROWS), tmp_path / "one", cleaning=switches(exact_duplicates=True))
    monkeypatch.setattr(language_stages, "WORTH_PROCESSES", 0)
    monkeypatch.setattr("hybrid_retrieval.data.cleaning.stage.cores", lambda: 2)
    again = prepare_corpus(MemoryReader(ROWS), tmp_path / "two", cleaning=switches(exact_duplicates=True))
    assert _bytes(folder) == _bytes(again)


def test_each_switch_says_what_it_removed(tmp_path: Path) -> None:
    lines: list[str] = []
    prepare_corpus(MemoryReader(ROWS), tmp_path, cleaning=switches(**ALL), progress=Progress(lines.append))
    said = [line for line in lines if "removed" in line]
    assert said[:2] == ["memory: min_question_chars removed nothing", "memory: same_text removed nothing"]
    assert said[2] == "memory: exact_duplicates removed nothing"
    assert said[3].startswith("memory: near_duplicates removed 15 of 24 rows (5 de, 5 en, 5 zh), such as r")
    assert said[3].count(",") == 5  # three languages, three rows


def _fingerprint(folder: Path) -> str:
    return str(json.loads((folder / "corpus.json").read_text())["fingerprint"])


def test_settings_are_part_of_the_fingerprint_only_where_they_are_on(tmp_path: Path) -> None:
    make: Callable[..., Path] = lambda **values: prepare_corpus(  # noqa: E731
        MemoryReader(ROWS), tmp_path, cleaning=switches(**values)
    )
    untouched = prepare_corpus(MemoryReader(ROWS), tmp_path)
    assert make(same_text=False, decontaminate=[], near_duplicates=None) == untouched
    others = [
        make(exact_duplicates=True),
        make(near_duplicates=0.9),
        make(near_duplicates=1),
        make(min_question_chars=3),
        make(max_question_chars=30),
    ]
    assert make(near_duplicates=1.0) == others[2]
    assert len({_fingerprint(folder) for folder in [untouched, *others]}) == 6
