"""Mewsli-X: mentions of entities in news of 11 languages, and descriptions of the entities in 50.

Layout: what `get-mewsli-x.sh` writes into `mewsli_x/output/dataset/`, that is
`candidate_set_entities.jsonl` (one entity a line: `entity_id`, `description`, `description_language`,
`sentence_spans`, ...) and `wikinews_mentions-{dev,test}.jsonl` (an article a line: `context` with `language`,
`text` and `sentence_spans`, and `mentions` with `example_id`, `entity_id` and `mention_span`). Spans are
`start` and `end`, in characters. The released `wikinews_mentions_no_text-*.jsonl` lack the text, which the
script puts in. Version 20220518 has 1,003,893 entities, and 2,991 mentions in dev and 14,624 in test.

https://github.com/google-research/google-research/blob/master/dense_representations_for_entity_retrieval/mel/mewsli-x.md
(Apache 2.0; the texts are Wikipedia's, CC BY-SA, and Wikinews', CC BY.)

Source: XTREME-R, Ruder et al., EMNLP 2021 (arXiv 2104.07412).
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hybrid_retrieval.data.readers.fields import id_field, list_field, object_of, text_field
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark, CorpusQuery, Passage
from hybrid_retrieval.evaluation.corpus.files import json_lines

METRICS = ("map@20", "mrr@20")
ENTITIES = "candidate_set_entities.jsonl"
SPLITS = ("dev", "test")
SOURCE = (
    "Run get-mewsli-x.sh of https://github.com/google-research/google-research/tree/master/"
    "dense_representations_for_entity_retrieval/mel and set benchmark.path to mewsli_x/output/dataset."
)
_BRACES = re.compile(r"\{(.*?)\}")


def mewsli_x(path: Path, *, languages: Sequence[str] | None = None, split: str = "test") -> CorpusBenchmark:
    """Read Mewsli-X's mentions, and find its entities, which are read later, as a stream.

    Texts are those of XTREME-R's baseline. A query is the mention, a colon, and the sentence it is in, with
    the mention in braces: "Smith: The verdict came back for { Smith } , who stepped down"; pairs of braces
    in the sentence become parentheses. A candidate is the sentences of the entity's description. Line
    breaks become spaces, two spaces one. Every mention has one relevant entity, so that mAP@20 equals
    MRR@20; XTREME-R reports its average over languages, as `multilingual` does here. (Its numbers on the
    version of 2022 are in Mewsli-X's documentation; those of the paper are of an older one.)

    Args:
        path: the folder with the files, or the one in which get-mewsli-x.sh was run.
        languages: codes of the mentions to evaluate; None is all. The pool is always that of all languages.
        split: "dev" or "test".

    Raises:
        UserError: files are missing or malformed, or a language has no mentions.
    """
    if split not in SPLITS:
        raise UserError(f"benchmark.split={split}: Mewsli-X has the splits {' and '.join(SPLITS)}.")
    folder = next((f for f in (path, path / "mewsli_x/output/dataset") if (f / ENTITIES).is_file()), None)
    if folder is None:
        raise UserError(f"{path / ENTITIES}: no such file. {SOURCE}")
    mentions = folder / f"wikinews_mentions-{split}.jsonl"
    if not mentions.is_file():
        untold = folder / f"wikinews_mentions_no_text-{split}.jsonl"
        why = f" {untold.name} is there, without the texts." if untold.is_file() else ""
        raise UserError(f"{mentions}: no such file.{why} {SOURCE}")
    queries = _queries(mentions)
    present = sorted({query.language for query in queries})
    absent = sorted(set(languages or ()) - set(present))
    if absent:
        raise UserError(
            f"{mentions}: no mentions in {', '.join(absent)}; there are some in {', '.join(present)}. Choose "
            "benchmark.languages among them."
        )
    chosen = tuple(query for query in queries if languages is None or query.language in languages)
    return CorpusBenchmark(
        name="mewsli_x",
        collections=(Collection("pool", partial(_entities, folder / ENTITIES), chosen, folder),),
        metrics=METRICS,
        setting="multilingual",
    )


def mention_in_sentence(before: str, mention: str, after: str) -> str:
    """The text of a query.

    Args:
        before: what precedes the mention in its sentence.
        mention: as it is written there.
        after: what follows it in its sentence.
    """
    before, after = (_BRACES.sub(r"(\1)", part) for part in (before, after))
    return _one_line(f"{mention}: {before} {{ {mention} }} {after}")


def _one_line(text: str) -> str:
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _queries(path: Path) -> list[CorpusQuery]:
    queries: list[CorpusQuery] = []
    places: dict[str, str] = {}
    for where, record in json_lines(path):
        context = object_of(record.get("context"), f"{where}: 'context'")
        text = text_field(context, "text", f"{where}: 'context'")
        language = text_field(context, "language", f"{where}: 'context'")
        sentences = _spans(context, text, f"{where}: 'context'")
        for item in list_field(record, "mentions", where):
            mention = object_of(item, f"{where}: 'mentions'")
            query_id = id_field(mention, "example_id", where)
            if query_id in places:
                raise UserError(
                    f"{where}: mention {query_id!r} is also at {places[query_id]}. Get the file again."
                )
            places[query_id] = where
            start, end = _span(mention.get("mention_span"), text, f"{where}: mention {query_id!r}")
            sentence = next(((a, b) for a, b in sentences if a <= start and end <= b), None)
            if sentence is None:
                raise UserError(
                    f"{where}: mention {query_id!r} lies within no sentence of 'sentence_spans'. Get the "
                    "file again."
                )
            queries.append(
                CorpusQuery(
                    query_id,
                    mention_in_sentence(text[sentence[0] : start], text[start:end], text[end : sentence[1]]),
                    language,
                    {id_field(mention, "entity_id", where): 1},
                )
            )
    return queries


def _entities(path: Path) -> Iterator[Passage]:
    for where, record in json_lines(path):
        description = text_field(record, "description", where)
        sentences = [description[start:end] for start, end in _spans(record, description, where)]
        yield Passage(
            id_field(record, "entity_id", where),
            _one_line(" ".join(sentences)),
            text_field(record, "description_language", where),
            where,
        )


def _spans(record: dict[str, object], text: str, where: str) -> list[tuple[int, int]]:
    return [_span(span, text, where) for span in list_field(record, "sentence_spans", where)]


def _span(span: Any, text: str, where: str) -> tuple[int, int]:
    edges = (span.get("start"), span.get("end")) if isinstance(span, dict) else (None, None)
    start, end = edges
    if not (type(start) is int and type(end) is int and 0 <= start < end <= len(text)):
        raise UserError(
            f"{where}: the span {span} is no start and end within a text of {len(text)} characters. Get the "
            "file again."
        )
    if span.get("text", text[start:end]) != text[start:end]:
        raise UserError(
            f"{where}: the text has {text[start:end]!r} at {start}, not {span['text']!r}. It is not the text "
            "that the mentions were taken from: run get-mewsli-x.sh again."
        )
    return start, end
