import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmarks.mewsli_x import mention_in_sentence, mewsli_x
from hybrid_retrieval.evaluation.corpus.evaluate import evaluate_corpus
from tests.evaluation.corpus.small import TextEmbedder


def spans(text: str, *parts: str) -> list[dict[str, int]]:
    return [{"start": text.index(part), "end": text.index(part) + len(part)} for part in parts]


def article(language: str, sentences: list[str], mentions: list[tuple[str, str, str]]) -> dict[str, Any]:
    """As the downloader writes it; a mention is its example id, entity id and text."""
    text = "\n".join(sentences)
    return {
        "context": {
            "document_title": "News",
            "document_url": "http://example.org/1",
            "document_id": f"{language}-1",
            "language": language,
            "text": text,
            "sentence_spans": spans(text, *sentences),
        },
        "mentions": [
            {
                "example_id": example_id,
                "mention_span": {**spans(text, mention)[0], "text": mention},
                "entity_id": entity_id,
            }
            for example_id, entity_id, mention in mentions
        ],
    }


def entity(entity_id: str, language: str, *sentences: str) -> dict[str, Any]:
    description = "\n\n".join(sentences)
    return {
        "entity_id": entity_id,
        "title": f"Title of {entity_id}",
        "description": description,
        "description_url": "http://example.org/2",
        "description_language": language,
        "sentence_spans": spans(description, *sentences),
    }


ARTICLES = [
    article("en", ["The verdict came.", "It was read to Smith, who left."], [("en-1", "Q5", "Smith")]),
    article("uk", ["Київ — столиця.", "Там Дніпро."], [("uk-1", "Q1", "Київ"), ("uk-2", "Q2", "Дніпро")]),
]
ENTITIES = [entity("Q1", "fr", "Kiev est la capitale.", "Elle est grande."), entity("Q5", "ja", "スミス。")]
ENTITIES += [entity(f"Q{n}", "de", f"Satz {n}.") for n in (2, 7, 8)]


def write(folder: Path, articles: list[Any] = ARTICLES, entities: list[Any] = ENTITIES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("candidate_set_entities", entities), ("wikinews_mentions-test", articles)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_queries_are_mentions_marked_in_their_sentence(tmp_path: Path) -> None:
    (pool,) = mewsli_x(write(tmp_path)).collections
    assert [(query.id, query.text, query.language, dict(query.relevant)) for query in pool.queries] == [
        ("en-1", "Smith: It was read to { Smith } , who left.", "en", {"Q5": 1}),
        ("uk-1", "Київ: { Київ } — столиця.", "uk", {"Q1": 1}),
        ("uk-2", "Дніпро: Там { Дніпро } .", "uk", {"Q2": 1}),
    ]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("In ", " it rains.", "Rome: In { Rome } it rains."),
        ("", "", "Rome: { Rome }"),
        ("In {old} ", " {x} {y", "Rome: In (old) { Rome } (x) {y"),
        ("In\n", "\nit rains.", "Rome: In { Rome } it rains."),
    ],
)
def test_the_mark_up_of_a_mention(before: str, after: str, text: str) -> None:
    assert mention_in_sentence(before, "Rome", after) == text


def test_candidates_are_the_sentences_of_descriptions(tmp_path: Path) -> None:
    (pool,) = mewsli_x(write(tmp_path)).collections
    passages = list(pool.passages())

    assert [passage.id for passage in passages] == ["Q1", "Q5", "Q2", "Q7", "Q8"]
    assert passages[0].text == "Kiev est la capitale. Elle est grande."
    assert [passage.language for passage in passages] == ["fr", "ja", "de", "de", "de"]
    assert passages[1].where.endswith("candidate_set_entities.jsonl:2")


def test_the_folder_of_the_downloader_is_found(tmp_path: Path) -> None:
    write(tmp_path / "mewsli_x" / "output" / "dataset")
    assert mewsli_x(tmp_path).languages == ("en", "uk")


def test_evaluates_one_pool_by_query_language(tmp_path: Path) -> None:
    metrics = evaluate_corpus(
        TextEmbedder(), mewsli_x(write(tmp_path / "data")), folder=tmp_path / "shards", fingerprint="f"
    ).metrics

    assert metrics["counts"] == {
        "queries": {"en": 1, "uk": 2},
        "candidates": {"de": 3, "fr": 1, "ja": 1},
        "pool": 5,
    }
    assert metrics["multilingual"]["map@20"] == metrics["multilingual"]["mrr@20"] > 0
    by_language = [metrics["per_language"][code]["multilingual"]["mrr@20"] for code in ("en", "uk")]
    assert metrics["multilingual"]["mrr@20"] == pytest.approx(sum(by_language) / 2)


def test_languages_choose_queries_but_never_candidates(tmp_path: Path) -> None:
    (pool,) = mewsli_x(write(tmp_path), languages=["uk"]).collections
    assert [query.id for query in pool.queries] == ["uk-1", "uk-2"]
    assert len(list(pool.passages())) == 5
    with pytest.raises(UserError, match="no mentions in ta; there are some in en, uk"):
        mewsli_x(tmp_path, languages=["uk", "ta"])


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"candidate_set_entities\.jsonl: no such file.*get-mewsli-x\.sh"):
        mewsli_x(tmp_path)
    write(tmp_path)
    with pytest.raises(UserError, match=r"wikinews_mentions-dev\.jsonl: no such file\. Run get-mewsli"):
        mewsli_x(tmp_path, split="dev")
    (tmp_path / "wikinews_mentions_no_text-dev.jsonl").write_text("")
    with pytest.raises(UserError, match=r"wikinews_mentions_no_text-dev\.jsonl is there, without the texts"):
        mewsli_x(tmp_path, split="dev")
    with pytest.raises(UserError, match=r"benchmark\.split=train: Mewsli-X has the splits dev and test"):
        mewsli_x(tmp_path, split="train")


def first_mention(record: Any) -> Any:
    return record["mentions"][0]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda r: r.pop("context"), "'context': expected an object"),
        (lambda r: r["context"].update(text=""), "'context': 'text' is empty"),
        (lambda r: r["context"].pop("sentence_spans"), "'sentence_spans' is missing"),
        (lambda r: r["context"].update(sentence_spans=[]), "mention 'en-1' lies within no sentence"),
        (lambda r: r["context"]["sentence_spans"][0].update(end=999), "no start and end within a text of"),
        (lambda r: r.pop("mentions"), "'mentions' is missing"),
        (lambda r: first_mention(r).pop("example_id"), "'example_id' is missing"),
        (lambda r: first_mention(r).pop("entity_id"), "'entity_id' is missing"),
        (lambda r: first_mention(r).pop("mention_span"), "mention 'en-1': the span None is no start and end"),
        (lambda r: first_mention(r)["mention_span"].update(text="Jones"), "'Smith' at 33, not 'Jones'"),
        (lambda r: r["mentions"].append(first_mention(r)), "mention 'en-1' is also at"),
    ],
)
def test_malformed_mentions_are_named(tmp_path: Path, damage: Callable[[Any], Any], says: str) -> None:
    record = copy.deepcopy(ARTICLES[0])
    damage(record)
    with pytest.raises(UserError, match=rf"wikinews_mentions-test\.jsonl:2: .*{says}"):
        mewsli_x(write(tmp_path, [ARTICLES[1], record]))


def test_an_entity_without_sentences_is_named(tmp_path: Path) -> None:
    bare = {**entity("Q9", "de", "Satz."), "sentence_spans": []}
    benchmark = mewsli_x(write(tmp_path, entities=[*ENTITIES, bare]))
    with pytest.raises(UserError, match=r"candidate_set_entities\.jsonl:6: passage 'Q9' has no text"):
        evaluate_corpus(TextEmbedder(), benchmark, folder=tmp_path / "shards", fingerprint="f")
