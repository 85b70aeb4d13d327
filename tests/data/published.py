"""Small folders in exactly the layouts of published data sets; the texts are made up."""

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_retrieval.data.build import build_corpus
from tests.data.memory_reader import SMALL, MemoryReader


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_parquet(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(records)), path)


def _table(folder: Path) -> None:
    for code in ("en", "de"):
        record = {"id": "1", "question": f"{code} q", "passage": f"{code} p"}
        write_parquet(folder / f"{code}.parquet", [record])


def _csv(folder: Path) -> None:
    for code in ("en", "de"):
        write_text(folder / f"{code}.csv", f"id,question,passage\n1,{code} q,{code} p\n")


def mfaq(folder: Path) -> None:
    for code in ("en", "no"):
        for split in ("train", "valid"):
            pages = [
                {
                    "domain": f"{split}{page}.example",
                    "language": code,
                    "num_pairs": 2,
                    "qa_pairs": [
                        {
                            "question": f"{code} {split} {page}.{i}?",
                            "answer": f"{code} {split} {i}",
                            "language": code,
                        }
                        for i in range(2)
                    ],
                }
                for page in range(2)
            ]
            write_lines(folder / "data" / code / f"{split}.jsonl", pages)


def mkqa(folder: Path) -> None:
    questions = [
        {
            "example_id": number,
            "query": f"en {number}",
            "queries": {"en": f"en {number}", "zh_cn": f"zh {number}", "ru": f"ru {number}"},
            "answers": {"en": [{"type": "unanswerable", "entity": "", "text": "No Answer"}]},
        }
        for number in (5632601434, -4767536963)
    ]
    write_lines(folder / "mkqa.jsonl.gz", questions)


def mkqa_of_mia(folder: Path) -> None:
    for code in ("en", "zh_cn"):
        rows: list[dict[str, Any]] = [
            {"id": f"{number}_{code}", "lang": code, "question": f"{code[:2]} {number}", "answers": []}
            for number in (5632601434, -4767536963)
        ]
        write_lines(folder / f"mkqa-{code}.jsonl.gz", rows)


def sentence_pairs(folder: Path) -> None:
    pairs = {"de": ["one", "two"], "fr-ca": ["two", "three"]}
    for code, english in pairs.items():
        records = [{"english": text, "non_english": f"{code} {text}"} for text in english]
        write_parquet(folder / f"en-{code}" / "train-00000-of-00001.parquet", records)
        write_parquet(
            folder / f"en-{code}" / "dev-00000-of-00001.parquet", [{"english": "x", "non_english": "y"}]
        )


def sentence_pairs_of_2020(folder: Path) -> None:
    write_text(folder / "TED2020" / "TED2020-en-de-train.tsv.gz", 'one\tde one\tEins\ntwo\tde "two\n')
    write_text(folder / "TED2020" / "TED2020-en-de-dev.tsv.gz", "x\ty\n")


def squad(*paragraphs: tuple[str, Mapping[str, str]]) -> str:
    entries = [
        {
            "context": context,
            "qas": [
                {"id": key, "question": question, "answers": [{"text": "x", "answer_start": 0}]}
                for key, question in questions.items()
            ],
        }
        for context, questions in paragraphs
    ]
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": entries}]})


def _squad(folder: Path) -> None:
    write_text(folder / "en.json", squad(("One.", {"a": "A?"})))


def _jsonl(folder: Path) -> None:
    write_lines(folder / "en.jsonl", [{"id": "1", "question": "q", "passage": "p"}])


def mlqa_translate_train(folder: Path) -> None:
    write_text(folder / "train-v1.1.json", squad(("One.", {"a": "A?", "b": "B?"}), ("Two.", {"c": "C?"})))
    for code in ("de", "vi"):
        below = folder / "mlqa-translate-train"
        train = squad((f"{code} One.", {"b": f"{code} B?"}), (f"{code} Two.", {"c": f"{code} C?"}))
        write_text(below / f"{code}_squad-translate-train-train-v1.1.json", train)
        write_text(below / f"{code}_squad-translate-train-dev-v1.1.json", squad(("Dev.", {"d": "D?"})))


def xtreme_squad(folder: Path) -> None:
    write_text(folder / "squad" / "train-v1.1.json", squad(("One.", {"a": "A?", "b": "B?"})))
    write_text(folder / "squad" / "dev-v1.1.json", squad(("Dev.", {"d": "D?"})))
    for code in ("el", "th"):
        train = squad((f"{code} One.", {"a": f"{code} A?", "b": f"{code} B?"}))
        write_text(folder / "squad" / "translate-train" / f"squad.translate.train.en-{code}.json", train)


def beir(folder: Path) -> None:
    documents = [{"_id": f"d{i}", "title": f"Title {i}" if i else "", "text": f"text {i}"} for i in range(4)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"query {i}"} for i in range(4)])
    header = "query-id\tcorpus-id\tscore\n"
    write_text(folder / "qrels" / "train.tsv", header + "q0\td0\t1\nq0\td1\t0\nq1\td1\t2\nq1\td2\t1\n")
    write_text(folder / "qrels" / "dev.tsv", header + "q2\td3\t1\n")
    write_text(folder / "qrels" / "test.tsv", header + "q3\td0\t1\n")


def _passage(docid: str) -> dict[str, str]:
    return {"docid": docid, "title": f"Title {docid}", "text": f"text {docid}"}


def mr_tydi(folder: Path) -> None:
    for name in ("english", "thai"):
        question = {"query_id": "7", "query": f"{name} query", "positive_passages": [_passage("1#0")]}
        train = [
            {**question, "negative_passages": [_passage("2#0"), _passage("3#1")]},
            {**question, "query_id": "8", "positive_passages": [_passage("2#0")], "negative_passages": []},
        ]
        below = folder / f"mrtydi-v1.1-{name}"
        write_lines(below / "train.jsonl.gz", train)
        write_lines(below / "dev.jsonl.gz", [{**question, "query_id": "9", "negative_passages": []}])
        write_lines(below / "test.jsonl.gz", [{**question, "query_id": "10", "negative_passages": []}])


def miracl(folder: Path) -> None:
    """Topics and qrels, and the corpus beside them."""
    for code in ("ar", "sw"):
        for split, query in (("train", "1"), ("dev", "2")):
            below = folder / f"miracl-v1.0-{code}"
            write_text(
                below / "topics" / f"topics.miracl-v1.0-{code}-{split}.tsv",
                f"{query}\t{code} {split} query\n",
            )
            qrels = f"{query}\tQ0\t10#0\t1\n{query}\tQ0\t10#1\t0\n{query}\tQ0\t11#0\t1\n"
            write_text(below / "qrels" / f"qrels.miracl-v1.0-{code}-{split}.tsv", qrels)
        corpus = folder / f"miracl-corpus-v1.0-{code}"
        write_lines(corpus / "docs-0.jsonl.gz", [_passage("10#0"), _passage("10#1"), _passage("10#2")])
        write_lines(corpus / "docs-1.jsonl.gz", [_passage("11#0"), _passage("11#1")])


def mmarco(folder: Path) -> None:
    write_text(folder / "data" / "triples.train.ids.small.tsv", "1\t10\t11\n2\t11\t10\n")
    for name in ("arabic", "chinese", "english", "german", "hindi", "russian", "spanish"):
        google = folder / "data" / "google"
        write_text(google / "collections" / f"{name}_collection.tsv", "10\tten\n11\televen\n")
        write_text(google / "queries" / "train" / f"{name}_queries.train.tsv", "1\tone\n2\ttwo\n")


def prepared(folder: Path) -> None:
    """A corpus that `prepare` has made."""
    build_corpus(MemoryReader(SMALL), folder)


PUBLISHED: dict[str, Callable[[Path], None]] = {
    "beir": beir,
    "csv": _csv,
    "hub": _table,
    "jsonl": _jsonl,
    "mfaq": mfaq,
    "miracl_train": miracl,
    "mkqa": mkqa,
    "mlqa_translate_train": mlqa_translate_train,
    "mmarco": mmarco,
    "mr_tydi": mr_tydi,
    "parallel_sentences": sentence_pairs,
    "parquet": _table,
    "prepared": prepared,
    "squad": _squad,
    "xtreme_squad": xtreme_squad,
}
"""What writes a small folder for each reader of files."""
