"""The embedded data set: sizes, splits, parallelism, and sentences without a template's traces."""

import os
import re
import subprocess
import sys
import unicodedata
import zoneinfo
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pytest
from babel.core import get_global

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.world_facts import WorldFactsReader
from hybrid_retrieval.data.readers.world_facts.facts import all_facts
from hybrid_retrieval.data.readers.world_facts.names import LANGUAGES
from hybrid_retrieval.data.readers.world_facts.reader import hard_negatives
from hybrid_retrieval.data.readers.world_facts.statistics import statistics
from hybrid_retrieval.data.readers.world_facts.wording import forms, passage, question, templates
from hybrid_retrieval.errors import UserError

SCRIPTS: dict[str, str | tuple[str, ...]] = {
    "ar": "ARABIC",
    "el": "GREEK",
    "hi": "DEVANAGARI",
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ru": "CYRILLIC",
    "th": "THAI",
    "zh": "CJK",
}
CASED = ("de", "el", "en", "es", "fr", "id", "ru", "tr", "vi")
QUESTION_MARK = {"ar": "؟", "el": ";", "zh": "？", "ja": "。", "th": ""}
END = {"hi": "।", "ja": "。", "zh": "。", "th": ""}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    reader = WorldFactsReader()
    return {language: list(reader.rows(language)) for language in reader.languages()}


def kind(identifier: str) -> str:
    return identifier.split(":", maxsplit=1)[0]


def entity(identifier: str) -> str:
    """`city_territory:territory/FR/Europe/Paris#0` -> `territory/FR`, the same way for the others."""
    return "/".join(identifier.split(":")[1].split("#", maxsplit=1)[0].split("/")[:2])


def fold(text: str) -> str:
    return text.replace("İ", "i").casefold().replace("ı", "i")


def test_size(rows: dict[str, list[Row]]) -> None:
    assert len(rows["en"]) >= 1500
    assert len({kind(row.id) for row in rows["en"]}) >= 8
    assert set(rows) >= {"ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"}
    assert len(rows) >= 14


def test_every_triple_is_in_every_language(rows: dict[str, list[Row]]) -> None:
    def skeleton(language: str) -> list[tuple[object, ...]]:
        return [(row.id, row.passage_id, row.negatives, row.split) for row in rows[language]]

    for language in rows:
        assert skeleton(language) == skeleton("en"), language
    assert len({row.id for row in rows["en"]}) == len(rows["en"])


def test_splits_share_no_entity(rows: dict[str, list[Row]]) -> None:
    splits = defaultdict(set)
    for row in rows["en"]:
        splits[entity(row.id)].add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"train", "validation", "test"}
    share = Counter(split for found in splits.values() for split in found)["train"] / len(splits)
    assert 0.6 < share < 0.8


def test_no_fact_is_asked_in_reverse() -> None:
    """No answer that is an entity is itself asked about in a kind that leads back to the first subject."""
    edges = {(fact.subject, fact.answer) for fact in all_facts()}
    assert not any((answer, subject) in edges for subject, answer in edges)


def test_two_questions_share_a_passage(rows: dict[str, list[Row]]) -> None:
    for language, found in rows.items():
        passages = defaultdict(set)
        for row in found:
            passages[row.passage_id].add(row.passage)
        assert all(len(texts) == 1 for texts in passages.values()), language
        assert len(passages) < len(found)
        assert len({text for texts in passages.values() for text in texts}) == len(passages), language


def test_questions_are_unique(rows: dict[str, list[Row]]) -> None:
    for language, found in rows.items():
        double = [text for text, n in Counter(row.question.casefold() for row in found).items() if n > 1]
        assert not double, (language, double[:5])


def test_negatives(rows: dict[str, list[Row]]) -> None:
    splits = {row.passage_id: row.split for row in rows["en"]}
    for row in rows["en"]:
        assert row.negatives
        assert len(set(row.negatives)) == len(row.negatives)
        for negative in row.negatives:
            assert negative != row.passage_id
            assert kind(negative) == kind(row.passage_id)
            assert splits[negative] == row.split


def test_a_negative_is_a_neighbour_where_there_is_one() -> None:
    facts = {fact.id: fact for fact in all_facts()}
    pools = Counter((fact.kind, fact.split, fact.group) for fact in facts.values())
    for identifier, negatives in hard_negatives(list(facts.values())).items():
        fact = facts[identifier]
        if pools[fact.kind, fact.split, fact.group] > 1:
            assert facts[negatives[0]].group == fact.group


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_names_the_subject_and_a_passage_the_answer_too(language: str) -> None:
    for fact in all_facts():
        subject = {fold(form) for form in forms(language, fact.subject).values()}
        answer = {fold(form) for form in forms(language, fact.answer).values()}
        text = fold(passage(language, fact))
        assert any(form in text for form in subject), (fact.id, text)
        assert any(form in text for form in answer), (fact.id, text)
        for number in range(3):
            asked = fold(question(language, fact, number))
            assert any(form in asked for form in subject), (fact.id, asked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_well_formed(language: str, rows: dict[str, list[Row]]) -> None:
    for row in rows[language]:
        for text in (row.question, row.passage):
            assert text == text.strip()
            assert not re.search(r"[{}<>\[\]]|\s\s|None|\.\.|\u00ad", text), text
            first = next(character for character in text if character.isalpha() or character.isdigit())
            assert not (language in CASED and first.islower()), text
        assert row.question.endswith(QUESTION_MARK.get(language, "?")), row.question
        assert row.passage.endswith(END.get(language, ".")), row.passage


@pytest.mark.parametrize("language", SCRIPTS)
def test_the_script_is_the_language_s_own(language: str, rows: dict[str, list[Row]]) -> None:
    letters: Counter[bool] = Counter()
    for row in rows[language]:
        for character in row.question:
            if character.isalpha():
                letters[unicodedata.name(character, "").startswith(SCRIPTS[language])] += 1
    assert letters[True] / letters.total() > 0.85


def test_templates_have_the_same_keys_and_counts() -> None:
    def shape(language: str) -> tuple[object, ...]:
        loaded = templates(language)
        return (
            {key: len(texts) for key, texts in loaded["questions"].items()},
            {key: len(texts) for key, texts in loaded["statements"].items()},
            set(loaded["follow"]),
            set(loaded["quantities"]),
        )

    for language in LANGUAGES:
        assert shape(language) == shape("en"), language
        loaded = templates(language)
        assert all(len(texts) >= 3 for texts in loaded["questions"].values())
        assert all(len(loaded["statements"][asked]) >= 2 for asked in loaded["questions"])
        for texts in (*loaded["questions"].values(), *loaded["statements"].values()):
            assert len(set(texts)) == len(texts), (language, texts)
            assert all("{s" in text for text in texts), (language, texts)


def test_time_zones_of_one_name_have_one_offset() -> None:
    """CLDR's metazones against the tz database: territories told to share a zone have the same clock."""
    offsets = defaultdict(set)
    for fact in all_facts():
        if fact.kind == "territory_time_zone":
            zone = get_global("territory_zones")[fact.subject.key][0]
            moments = (datetime(2025, month, 15, tzinfo=zoneinfo.ZoneInfo(zone)) for month in (1, 7))
            offsets[fact.answer].add(min(moment.utcoffset() or moment.resolution for moment in moments))
    assert {thing.key: found for thing, found in offsets.items() if len(found) > 1} == {}


def test_the_committed_table_is_current() -> None:
    table = Path(__file__).parents[2] / "experiments" / "world_facts" / "STATISTICS.md"
    committed, current = table.read_text(encoding="utf-8"), statistics()
    if committed.splitlines()[2].split("Fingerprint")[0] != current.splitlines()[2].split("Fingerprint")[0]:
        pytest.skip("the table was made with other versions of Babel or pycountry")
    assert committed == current, "run python -m hybrid_retrieval.data.readers.world_facts.statistics"


def test_rows_do_not_depend_on_the_process() -> None:
    program = (
        "from hybrid_retrieval.data.readers.world_facts import WorldFactsReader as R;"
        "import sys; sys.stdout.write(R(['el', 'en']).fingerprint())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, locale in (("1", "C"), ("2", "tr_TR.UTF-8"))
    ]
    assert digests[0] == digests[1] == WorldFactsReader(["en", "el"]).fingerprint()
    assert digests[0] != WorldFactsReader(["en", "de"]).fingerprint()


@pytest.mark.parametrize("languages", [["en", "xx"], []])
def test_an_unknown_language_is_the_user_s_mistake(languages: list[str]) -> None:
    with pytest.raises(UserError, match="language"):
        WorldFactsReader(languages)


def test_rows_of_a_language_not_asked_for() -> None:
    with pytest.raises(UserError, match="add it"):
        next(WorldFactsReader(["en"]).rows("de"))
