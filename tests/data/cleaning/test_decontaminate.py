"""Decontamination against an implementation that compares texts as sets of word sequences."""

import gzip
import hashlib
import json
import pickle
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.cleaning.decontaminate import Decontamination, Match
from hybrid_retrieval.data.cleaning.grams import gram_length, spaceless, words_of
from hybrid_retrieval.errors import UserError

PATHS = OmegaConf.create({"cache": None, "benchmarks": None})
LANGUAGES = ("en", "zh", "th", "ar", "hi", "ja")
VOCABULARY: Mapping[str, Sequence[str]] = {
    "en": ("The", "river", "of", "Don't", "NAÏVE", "2009", "straße", "😀"),
    "zh": ("今天", "天气", "很", "好", "，", "ABC", "2009", "。", "𠀀"),
    "th": ("ภาษา", "ไทย", "กำ", "น้ำ", "ที่", " ", "Bangkok "),
    "ar": ("مُحَمَّد", "محمد", "فِي", "في", "كتـــاب", "؟", "2009"),
    "hi": ("हिन्दी", "में", "क्षेत्र", "है", "।", "👩‍👩‍👧", "कि"),
    "ja": ("カタカナ", "ｶﾞ", "です", "漢字", "々", "、", "Tokyo "),
}
Grams = frozenset[tuple[str, ...]]


def hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decontamination(*entries: str, paths: DictConfig = PATHS, shared: int = 5) -> Decontamination:
    return Decontamination(entries, paths, hash_file, shared=shared)


def write_beir(
    folder: Path, queries: Iterable[tuple[str, str]], documents: Iterable[tuple[str, str]] = ()
) -> str:
    """A collection of (language, text) with one document that answers all queries; what names it."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [("en", "Zwölf Boxkämpfer jagen"), *documents]
    for name, texts in (("queries", list(queries)), ("corpus", corpus)):
        lines = [
            json.dumps({"_id": f"{name}{i}", "text": text, "language": code})
            for i, (code, text) in enumerate(texts)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        if name == "queries":
            judged = [f"queries{i}\tcorpus0\t1" for i in range(len(texts))]
    (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    return f"beir:{folder}"


def reference_grams(text: str, *, characters: bool, n: int) -> Grams:
    units = words_of(text, characters=characters)
    if len(units) < n:
        return frozenset([("whole", *units)] if units else [])
    return frozenset(tuple(units[i : i + n]) for i in range(len(units) - n + 1))


def reference(text: str, language: str, benchmark: Sequence[tuple[str, str]], shared: int) -> bool:
    known = [
        (reference_grams(of, characters=spaceless(code), n=gram_length(code, 8)), gram_length(code, shared))
        for code, of in benchmark
    ]
    kinds = [(False, 8, shared)]
    if spaceless(language):
        kinds.append((True, gram_length(language, 8), gram_length(language, shared)))
    for characters, n, needed in kinds:
        own = reference_grams(text, characters=characters, n=n)
        common = own & frozenset().union(*(grams for grams, _ in known))
        needs = [min(len(grams), of_language) for grams, of_language in known if grams & own]
        if common and len(common) >= min(needed, len(own), *needs):
            return True
    return False


def random_text(draw: random.Random, language: str, words: int) -> str:
    return (" " if language in ("en", "ar", "hi") else "").join(
        draw.choice(VOCABULARY[language]) for _ in range(words)
    )


def with_a_part_of(draw: random.Random, text: str, around: str) -> str:
    start, stop = sorted(draw.randrange(len(text) + 1) for _ in range(2))
    return draw.choice((text, f"{around} {text[start:stop]}", f"{text[start:stop]} {around}", text.upper()))


@pytest.mark.parametrize("shared", [1, 5])
def test_thousands_of_texts_are_found_as_the_reference_finds_them(tmp_path: Path, shared: int) -> None:
    draw = random.Random(shared)
    benchmark = [(code, random_text(draw, code, draw.randrange(2, 40))) for code in LANGUAGES * 4]
    found_by_language = []
    decontaminate = decontamination(write_beir(tmp_path / "b", benchmark), shared=shared)
    everything = [*benchmark, ("en", "Zwölf Boxkämpfer jagen")]
    for language in LANGUAGES:
        texts = [random_text(draw, language, draw.randrange(30)) for _ in range(100)]
        of_benchmark = [text for code, text in benchmark if code == language or draw.random() < 0.2]
        texts += [with_a_part_of(draw, draw.choice(of_benchmark), text) for text in texts]
        expected = [reference(text, language, everything, shared) for text in texts]
        found_by_language.append(decontaminate.contaminated(texts, language).tolist())
        assert found_by_language[-1] == expected
        for text, contaminated in zip(texts[::20], expected[::20], strict=True):
            assert bool(decontaminate.explain(text, language)) == contaminated
    assert all(0.1 < np.mean(found) < 0.9 for found in found_by_language)


WORDS = [f"word{number}" for number in range(40)]


def sentence(start: int, stop: int) -> str:
    return " ".join(WORDS[start:stop])


@pytest.mark.parametrize(
    ("text", "contaminated"),
    [
        (sentence(0, 40), True),
        (f"before {sentence(3, 15)} after", True),  # 12 words in a row
        (f"before {sentence(3, 14)} after", False),
        (f"a {sentence(0, 9)} b {sentence(12, 21)} c {sentence(24, 32)}", True),  # 2 + 2 + 1 grams
        (sentence(3, 11), True),  # all of its own
        (" x ".join([sentence(3, 11)] * 6), False),  # one gram, six times
        (f"before {sentence(30, 39)} after", True),  # all of a short text's, though a long one has them, too
        ("WHO, founded   the «Town»?", True),
        ("Who founded the town then?", False),
        ("and who founded the town in the north in the year 1200", False),
        ("Please say where the longest of the nine rivers of the land flows!", True),  # all of a question's
        ("Please say where the longest of the nine rivers flows!", False),
        ("...", False),
        (None, False),
    ],
)
def test_rule(tmp_path: Path, text: str | None, contaminated: bool) -> None:
    queries = [
        *[("en", sentence(0, 40)), ("en", sentence(30, 39)), ("en", "Who founded the town?")],
        ("en", "Where the longest of the nine rivers of the land flows"),
    ]
    found = decontamination(write_beir(tmp_path / "b", queries)).contaminated([None, text], "en")
    assert found.tolist() == [False, contaminated]


def test_texts_of_other_languages_are_found_too(tmp_path: Path) -> None:
    decontaminate = decontamination(write_beir(tmp_path / "b", [("en", sentence(0, 20))]))
    assert decontaminate.contaminated([f"他说 {sentence(2, 18)}。"], "zh").all()
    assert decontaminate.contaminated([f"Er sagte: {sentence(2, 18)}"], "de").all()


def test_only_the_documents_that_answer_count_in_an_open_collection(tmp_path: Path) -> None:
    decontaminate = decontamination(
        write_beir(tmp_path / "b", [("en", "a question of some words")], [("en", sentence(0, 20))])
    )
    texts = ["Zwölf Boxkämpfer jagen", sentence(0, 20), "A question of some words."]
    assert decontaminate.contaminated(texts, "en").tolist() == [True, False, True]


def test_counts_and_examples_by_benchmark(tmp_path: Path) -> None:
    first = write_beir(tmp_path / "first", [("en", sentence(0, 20))])
    (tmp_path / "second").mkdir()
    for code, text in (("deu", "Das ist ein Haus."), ("eng", sentence(4, 17))):
        (tmp_path / "second" / f"tatoeba.deu-eng.{code}").write_text(f"{text}\n", encoding="utf-8")
    second = f"tatoeba:{tmp_path / 'second'}"
    decontaminate = decontamination(first, second)
    texts = [sentence(0, 12), sentence(2, 16), "das ist ein haus", "something else", None]

    assert decontaminate.benchmarks == (first, second)
    found = decontaminate.found_in(texts, "de")
    assert found.tolist() == [[True, False], [True, True], [False, True], [False, False], [False, False]]
    assert decontaminate.explain(sentence(2, 16), "de") == [
        Match(first, "queries0", sentence(2, 10), 7, sentence(0, 20)),
        Match(second, "de-en:en:1", sentence(4, 12), 5, sentence(4, 17)),
    ]
    assert decontaminate.explain("DAS ist ein... Haus", "en") == [
        Match(second, "de-en:de:1", "das ist ein haus", 1, "Das ist ein Haus.")
    ]


def test_is_sent_to_other_processes_with_its_grams(tmp_path: Path) -> None:
    decontaminate = decontamination(write_beir(tmp_path / "b", [("en", sentence(0, 20))]))
    sent = pickle.dumps(decontaminate)
    shutil.rmtree(tmp_path / "b")
    received = pickle.loads(sent)
    assert received.contaminated(iter([sentence(0, 20), "else"] * 700), "en").tolist() == [True, False] * 700
    assert received.fingerprint == decontaminate.fingerprint


def test_fingerprint_is_of_names_options_and_content(tmp_path: Path) -> None:
    first = write_beir(tmp_path / "first", [("en", "one two three")])
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    other = write_beir(tmp_path / "other", [("en", "one two four")])
    of_first = decontamination(first).fingerprint

    assert decontamination(f"beir:{tmp_path / 'copy'}").fingerprint == of_first
    different = [decontamination(other), decontamination(first, other), decontamination(first, shared=4)]
    assert len({of_first, *(each.fingerprint for each in different)}) == 4


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (["xquad"], "data.clean.decontaminate: 'xquad' is no benchmark; known: beir, mewsli_x, miracl"),
        (["xquad_r"], "Run: hybrid-retrieval prepare benchmark=xquad_r"),
        (["xquad_r"], "data.clean.decontaminate=[xquad_r:<folder with ar.json"),
        (["mlqa_r"], "clone the homepage's repository"),
        (["xquad_r:/nowhere/x"], "/nowhere/x is no folder. Correct the folder"),
        (["beir"], "data.clean.decontaminate=[beir:<the folder that holds them>]"),
        (["parallel"], "data=jsonl needs data.clean.decontaminate=[parallel:<folder of LANG.jsonl"),
        (["parallel:/nowhere/x"], "'parallel:/nowhere/x': /nowhere/x does not exist"),
        (["mewsli_x:/nowhere/x"], "/nowhere/x is no folder. Correct the folder in 'mewsli_x:/nowhere/x'."),
        ("xquad_r", "must be a list of benchmarks such as [xquad_r,"),
        ([{"name": "xquad_r"}], "must be a list of benchmarks such as [xquad_r,"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(tmp_path: Path, entries: Sequence[str], says: str) -> None:
    paths = OmegaConf.create({"cache": str(tmp_path), "benchmarks": None})
    with pytest.raises(UserError) as error:
        Decontamination(entries, paths, hash_file)
    assert says in str(error.value)
    assert "benchmark.path" not in str(error.value)
    assert "data.path" not in str(error.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError, match=r"holds none of the files of squadshifts \(\*_v1"):
        decontamination(f"squadshifts:{tmp_path}")


def test_a_malformed_file_is_told_by_the_name_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text("{}")
    with pytest.raises(UserError, match=r"data\.clean\.decontaminate: 'xquad_r:.*en\.json"):
        decontamination(f"xquad_r:{tmp_path}").contaminated(["text"], "en")


def test_the_command_line_takes_names_and_folders() -> None:
    override = OverridesParser.create().parse_override(
        "data.clean.decontaminate=[xquad_r,beir:/data/sci-fact]"
    )
    assert override.value() == ["xquad_r", "beir:/data/sci-fact"]


@pytest.fixture(scope="module")
def public(shared_data: Path) -> Decontamination:
    """Against XQuAD-R and MIRACL's topics."""
    return decontamination(f"xquad_r:{shared_data / 'xquad-r'}", f"miracl:{shared_data / 'miracl'}")


@pytest.mark.parametrize("language", ["ar", "en", "hi", "ru", "th", "tr", "zh"])
def test_every_question_and_paragraph_of_xquad_r_is_found(
    public: Decontamination, xquad_r_folder: Path, language: str
) -> None:
    articles = json.loads((xquad_r_folder / f"{language}.json").read_bytes())["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    questions = [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]

    assert len(questions) == 1190
    assert public.found_in(questions, language)[:, 0].all()
    assert public.found_in([question.upper() for question in questions], language)[:, 0].all()
    assert public.found_in([paragraph["context"] for paragraph in paragraphs], language)[:, 0].all()


@pytest.mark.parametrize("language", ["en", "th"])
def test_topics_of_miracl_are_found_without_its_passages(
    public: Decontamination, shared_data: Path, language: str
) -> None:
    lines = (shared_data / f"miracl/topics.miracl-v1.0-{language}-dev.tsv").read_text().splitlines()
    topics = [line.split("\t")[1] for line in lines]
    assert public.found_in(topics, language)[:, 1].all()


def test_other_questions_are_not_found(public: Decontamination, shared_data: Path) -> None:
    folder = shared_data / "parallel-qa/omos-qa"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")

    for language in ("ar", "de", "en"):
        with gzip.open(folder / f"{language}.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        texts = [row[field] for row in rows for field in ("question", "passage")]
        assert len(texts) == 1464
        assert not public.contaminated(texts, language).any()
