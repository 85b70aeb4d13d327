from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.cleaning.settings import Cleaning, CleaningSettings
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.statistics.findings import findings
from hybrid_retrieval.data.statistics.measure_corpus import measure_corpus
from hybrid_retrieval.data.statistics.remembered import corpus_statistics
from hybrid_retrieval.data.statistics.sampled import token_counts
from hybrid_retrieval.data.statistics.show import statistics_text
from hybrid_retrieval.models.backbones import BackboneSpec, load_backbone, spec_for
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from tests.data.memory_reader import MemoryReader, RowsByLanguage, row

ENGLISH = "A passage that nobody has translated for this language."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRID_RETRIEVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load_backbone(spec_for("tiny")).tokenizer.shortened(8, 16)


def _rows() -> RowsByLanguage:
    english = [
        replace(row("en", 0), question="Where?", passage=ENGLISH),
        replace(row("en", 1), question="Where?", passage="In the north, far from here.", split="validation"),
        replace(row("en", 2), question="WHERE?", passage="There."),
        replace(row("en", 3), question="?", passage="there. "),
        replace(row("en", 4), question="Where?", passage="there.", negatives=("p0", "p2")),
    ]
    greek = [
        replace(english[0], question="Πού;"),
        replace(english[2], question="Πού είναι;", passage="Εκεί είναι."),
    ]
    return {"en": english, "el": greek}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    build_corpus(MemoryReader(_rows()), folder)
    return folder


def test_what_was_put_in_is_found(corpus: Path, tokenizer: TextTokenizer) -> None:
    found = measure_corpus(corpus, tokenizer, "tiny", 100, Progress())
    english, greek = found["languages"]["en"], found["languages"]["el"]

    assert english["rows"] == {"train": 4, "validation": 1, "test": 0}
    assert greek["rows"] == {"train": 2, "validation": 0, "test": 0}
    assert found["in_languages"] == {"2": 2, "1": 3}
    assert (english["queries"]["texts"], greek["passages"]["texts"]) == (5, 2)
    assert english["queries"]["repeated"]["exact"] == {"count": 2, "examples": [["r0", "r1"]]}
    assert english["queries"]["repeated"]["normalised"]["count"] == 3
    assert english["passages"]["repeated"]["exact"]["count"] == 0
    assert english["passages"]["repeated"]["normalised"] == {"count": 2, "examples": [["p2", "p3"]]}
    assert english["repeated_rows"]["exact"]["count"] == 0
    assert english["repeated_rows"]["normalised"] == {"count": 1, "examples": [["r2", "r4"]]}
    assert english["queries"]["blank"] == {"count": 1, "examples": ["r3"]}
    assert greek["passages"]["other_script"] == {"count": 1, "scripts": {"Latn": 1}, "examples": ["p0"]}
    assert english["passages"]["other_script"]["count"] == 0
    equal = found["equal_in_two_languages"]
    assert equal["passages"]["pairs"] == {"el/en": {"count": 1, "of": 2, "examples": ["p0"]}}
    assert equal["queries"]["count"] == 0
    assert found["hard_negatives"]["train"]["max"] == 2
    assert found["total"]["queries"]["texts"] == 7
    assert found["total"]["rows"]["train"] == 6


def test_lengths_are_those_of_the_tokenizer_before_cutting(corpus: Path, tokenizer: TextTokenizer) -> None:
    rows = _rows()
    whole = tokenizer.hf_tokenizer
    expected = sorted(len(whole("passage: " + one.passage)["input_ids"]) for one in rows["en"])
    passages = measure_corpus(corpus, tokenizer, "tiny", 100, Progress())["languages"]["en"]["passages"]

    assert tokenizer.prefixes["passage"] == "passage: "
    assert passages["limit"] == 16
    assert (passages["tokens"]["min"], passages["tokens"]["50%"], passages["tokens"]["max"]) == (
        expected[0],
        expected[2],
        expected[-1],
    )
    assert passages["tokens"]["max"] > 16
    assert passages["too_long"] == sum(length > 16 for length in expected)
    assert passages["characters"]["max"] == len(ENGLISH)
    assert token_counts(tokenizer, ["Where?"], "query") == [len(whole("query: Where?")["input_ids"])]


def test_a_sample_is_spread_evenly_and_counts_stay_exact(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    rows = [replace(row("en", i), question="x" * (i + 1) if i != 7 else "x") for i in range(20)]
    build_corpus(MemoryReader({"en": rows}), tmp_path / "c")
    queries = measure_corpus(tmp_path / "c", tokenizer, "tiny", 4, Progress())["languages"]["en"]["queries"]
    assert queries["sampled"] == 4
    assert (queries["characters"]["min"], queries["characters"]["max"]) == (1, 16)  # numbers 0, 5, 10, 15
    assert queries["texts"] == 20
    assert queries["repeated"]["exact"]["count"] == 1


def _statistics(corpus: Path, cache: Path, spec: BackboneSpec, sample: int = 100) -> tuple[Any, Path | None]:
    return corpus_statistics(corpus, cache, spec, (8, 16), sample, Progress())


def test_statistics_are_measured_once_for_each_setting(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(tmp_path / "models"))
    spec, cache = spec_for("tiny"), tmp_path / "cache"
    first, file = _statistics(corpus, cache, spec)
    assert file is not None
    assert file.name.startswith("corpus-")
    assert list(file.parent.iterdir()) == [file]
    other, other_file = _statistics(corpus, cache, spec, 2)
    assert other_file != file
    assert other["sample"] == 2

    monkeypatch.setattr("hybrid_retrieval.data.statistics.remembered.measure_corpus", None)
    assert _statistics(corpus, cache, spec) == (first, file)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(TypeError):  # damaged: measured again
        _statistics(corpus, cache, spec)


def test_a_cache_that_cannot_be_written_is_no_error(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(tmp_path / "models"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    statistics, file = _statistics(corpus, tmp_path / "file", spec_for("tiny"))
    assert file is None
    assert statistics["name"] == "memory"


def test_the_text_fits_and_names_switches_and_ids(corpus: Path, tokenizer: TextTokenizer) -> None:
    statistics = measure_corpus(corpus, tokenizer, "tiny", 100, Progress())
    text = statistics_text(statistics, 100)
    assert max(map(len, text.splitlines())) <= 100
    for part in ("data.clean.exact_duplicates=true", "en: r2 = r4", "el/en: p0", "el: p0", "en: r3"):
        assert part in text
    assert len(findings(statistics)) == 6
    clean = [replace(row("en", i), question=f"Question {i}") for i in range(3)]
    build_corpus(MemoryReader({"en": clean}), corpus.parent / "clean")
    assert findings(measure_corpus(corpus.parent / "clean", tokenizer, "tiny", 100, Progress())) == []


def test_what_cleaning_removed_is_shown_with_its_texts(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    build_corpus(
        MemoryReader(_rows()), tmp_path / "c", cleaning=Cleaning(CleaningSettings(exact_duplicates=True))
    )
    statistics = measure_corpus(tmp_path / "c", tokenizer, "tiny", 100, Progress())
    assert statistics["cleaning"]["removed"] == {"exact_duplicates": {"el": 0, "en": 1}}
    text = statistics_text(statistics, 60)
    shown = text[text.index("data.clean.exact_duplicates removed 1 of 7 rows") :].splitlines()
    assert [line.strip() for line in shown[1:4]] == ["en r4: repeats r2 with passage p2", "Where?", "there."]
