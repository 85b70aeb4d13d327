"""Everything that reads a file of a user's: a small valid folder, and the code that reads it to its end."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from hybrid_retrieval.data.open import open_data
from hybrid_retrieval.evaluation.benchmarks.registry import load_benchmark
from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark
from hybrid_retrieval.evaluation.corpus.scan import scan
from hybrid_retrieval.evaluation.embedding_files import EmbeddingFiles
from hybrid_retrieval.sampling.pair_file import read_pair_weights
from tests.data.published import (
    PUBLISHED,
    mkqa,
    mkqa_of_mia,
    sentence_pairs_of_2020,
    write_lines,
    write_parquet,
    write_text,
)

Write = Callable[[Path], None]
Read = Callable[[Path], object]
_IDS = ["en:1", "en:2", "de:1"]


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        write: makes a valid folder.
        read: reads all of it, as a command does; raises UserError where it is not as it should be.
    """

    write: Write
    read: Read


def _reader(name: str, **options: Any) -> Read:
    """Training data as a command opens it: prepared, and every row of it."""

    def read(folder: Path) -> object:
        # Options that name a place are relative to the folder.
        own = {key: str(folder / value) if key in _PLACES else value for key, value in options.items()}
        data = folder / "data" if _PLACES & set(options) else folder
        cfg = {"reader": name, "path": str(data), "options": own, "languages": None}
        cfg["validation_fraction"] = 0.0 if name == "prepared" else 0.3
        cache = str(folder.with_name("cache"))
        corpora = open_data(OmegaConf.create(cfg), cache, "train")
        return [list(corpus.rows(code)) for corpus in corpora for code in corpus.languages]

    return read


_PLACES = {"passages"}
_COLUMNS = {"id": "id", "question": "question", "passage": "passage"}


def _rows(codes: tuple[str, ...] = ("en", "de"), **more: Any) -> Iterator[dict[str, Any]]:
    for code in codes:
        for i in range(4):
            row = {
                "id": str(i),
                "question": f"{code} q {i}?",
                "passage": f"{code} p, {i % 3}",
                "language": code,
            }
            yield {**row, **{name: make(i) if callable(make) else make for name, make in more.items()}}


def _jsonl(folder: Path, ending: str = ".jsonl") -> None:
    for code in ("en", "de"):
        rows = _rows((code,), passage_id=lambda i: i % 3, negatives=lambda i: [(i + 1) % 3], split=None)
        write_lines(folder / f"{code}{ending}", (row | {"page_title": "T"} for row in rows))


def _json_list(folder: Path) -> None:
    for code in ("en", "de"):
        write_text(folder / f"{code}.json", json.dumps(list(_rows((code,))), indent=1))


def _squad(folder: Path) -> None:
    for code in ("en", "de"):
        qas = [
            {"id": f"q{i}", "question": f"{code} {i}?", "answers": [], "is_impossible": i == 3}
            for i in range(4)
        ]
        paragraphs = [{"context": f"{code} {p}", "qas": qas[p::2], "paragraph_id": f"p{p}"} for p in range(2)]
        write_text(folder / f"{code}.json", json.dumps({"data": [{"paragraphs": paragraphs}]}))


def _separated(folder: Path, ending: str = ".csv", separator: str = ",") -> None:
    for code in ("en", "de"):
        lines = [separator.join(("id", "question", "passage", "language", "negatives", "split"))]
        for row in _rows((code,)):
            i = int(row["id"])
            passage = f'"{code}, {i}\n""more"""' if separator == "," else f"{code}, {i}"
            fields = (
                row["id"],
                row["question"],
                passage,
                code,
                str((i + 1) % 4),
                "dev" if i == 3 else "train",
            )
            lines.append(separator.join(fields))
        write_text(folder / f"{code}{ending}", "\n".join(lines) + "\n")


def _one_csv(folder: Path) -> None:
    lines = ["id,question,passage,language"]
    lines += [",".join((r["id"], r["question"], f'"{r["passage"]}"', r["language"])) for r in _rows()]
    write_text(folder / "table.csv", "\n".join(lines) + "\n")


def _parquet(folder: Path) -> None:
    for code in ("en", "de"):
        write_parquet(
            folder / f"{code}.parquet", _rows((code,), negatives=lambda i: [str((i + 1) % 4)], split="train")
        )


def _one_parquet(folder: Path) -> None:
    write_parquet(folder / "table.parquet", _rows(negative=lambda i: [f"no {i}", "never"]))


def _wide_parquet(folder: Path) -> None:
    rows = [
        {f"{kind}_{code}": f"{kind} {code} {i}" for kind in ("q", "p") for code in ("en", "de")}
        for i in range(4)
    ]
    write_parquet(
        folder / "train.parquet", ({"id": i, "answers": {"text": ["a"]}, **row} for i, row in enumerate(rows))
    )


def _sentences(folder: Path, ending: str, prefix: str) -> None:
    for code in ("en", "de"):
        lines = [(f"s{i}\t" if prefix else "") + f"{code} {i}\n" for i in range(4)]
        write_text(folder / f"{code}{ending}", "".join(lines))


def _mkqa_passages(folder: Path) -> None:
    mkqa(folder / "data")
    rows = [{"id": 5632601434, "passage": "text", "passage_id": "p"}, {"id": "other", "passage": "more"}]
    write_lines(folder / "passages" / "en.jsonl", rows)


def _beir_languages(folder: Path) -> None:
    texts = [
        {"language": code, "text": f"{code} {i}", "group": f"g{i}"} for code in ("en", "de") for i in range(3)
    ]
    write_lines(
        folder / "corpus.jsonl", ({"_id": f"d{i}", "title": "T", **text} for i, text in enumerate(texts))
    )
    write_lines(folder / "queries.jsonl", ({"_id": f"q{i}", **text} for i, text in enumerate(texts)))
    qrels = [f"q{i}\td{i}\t{1 + i % 2}\n" for i in range(6)] + ["q0\td3\t0\n"]
    for split in ("train", "test"):
        write_text(folder / "qrels" / f"{split}.tsv", "query-id\tcorpus-id\tscore\n" + "".join(qrels))


def _lareqa(folder: Path) -> None:
    for code in ("en", "de"):
        qas = [
            {"id": f"q{i}", "question": f"{code} {i}?", "answers": [{"answer_start": 6 * i, "text": "x"}]}
            for i in (0, 1)
        ]
        paragraph = {
            "context": "Aaaa. Bbbb.",
            "sentences": ["Aaaa.", "Bbbb."],
            "sentence_breaks": [[0, 6], [6, 11]],
            "qas": qas,
        }
        write_text(folder / f"{code}.json", json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))


def _squadshifts(folder: Path, ending: str = ".json") -> None:
    qas = [
        {"id": f"q{i}", "question": f"{i}?", "answers": [{"text": "P", "answer_start": 0}]} for i in range(3)
    ]
    paragraphs = [{"context": f"P {p}.", "qas": qas[p::2]} for p in range(2)]
    write_text(folder / f"new_wiki_v1.0{ending}", json.dumps({"data": [{"paragraphs": paragraphs}]}))


def _tatoeba(folder: Path) -> None:
    for code in ("deu", "cmn"):
        write_text(folder / f"tatoeba.{code}-eng.{code}", "eins\nzwei\ndrei\n")
        write_text(folder / f"tatoeba.{code}-eng.eng", "one\ntwo\nthree\n")


def _mewsli_x(folder: Path) -> None:
    text = "Smith left. Kyiv stays."
    spans = [{"start": 0, "end": 11}, {"start": 12, "end": 23}]
    mentions = [
        {"example_id": f"e{i}", "entity_id": f"Q{i}", "mention_span": {"start": 12 * i, "end": 12 * i + 4}}
        for i in (0, 1)
    ]
    context = {"language": "en", "text": text, "sentence_spans": spans}
    write_lines(folder / "wikinews_mentions-test.jsonl", [{"context": context, "mentions": mentions}])
    entity = {"description": text, "description_language": "en", "sentence_spans": spans}
    write_lines(folder / "candidate_set_entities.jsonl", ({"entity_id": f"Q{i}", **entity} for i in range(3)))


def _benchmark(name: str, **options: Any) -> Read:
    """A benchmark as a command opens it, and its passages to the last."""

    def read(folder: Path) -> object:
        cfg = {"name": name, "path": str(folder), "languages": None, **options}
        paths = {"cache": str(folder.with_name("cache")), "benchmarks": None}
        benchmark = load_benchmark(OmegaConf.create(cfg), OmegaConf.create(paths))
        if isinstance(benchmark, CorpusBenchmark):
            return [scan(collection, 2) for collection in benchmark.collections]
        return benchmark

    return read


def _embeddings(folder: Path, ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    vectors = np.eye(3, 4, dtype=np.float32)
    for name in ("queries", "candidates"):
        path = folder / f"{name}{ending}"
        match ending:
            case ".npz":
                np.savez(path, ids=np.array(_IDS), embeddings=vectors)
            case ".npy":
                np.save(path, vectors)
                write_text(folder / f"{name}.ids.txt", "\n".join(_IDS) + "\n")
            case ".parquet":
                write_parquet(
                    path, ({"id": i, "embedding": v.tolist()} for i, v in zip(_IDS, vectors, strict=True))
                )


def _read_embeddings(ending: str, folder: Path) -> object:
    files = EmbeddingFiles(queries=folder / f"queries{ending}", candidates=folder / f"candidates{ending}")
    return files.embed(_IDS, _IDS, "query"), files.embed(_IDS, _IDS, "passage")


def _pair_weights(folder: Path) -> None:
    pairs = {a: {b: {"map": 0.5, "recall@1": None} for b in ("en", "de") if a != b} for a in ("en", "de")}
    write_text(folder / "metrics.json", json.dumps({"schema": 1, "per_pair": pairs}))
    write_text(folder / "weights.json", json.dumps({"en-de": 2.0, "*-*": 1.0}))
    write_text(folder / "weights.csv", "query_language,passage_language,weight\nen,de,1.5\nde,en,0\n")


def _read_pair_weights(folder: Path) -> object:
    return [
        read_pair_weights({"file": str(folder / "metrics.json"), "metric": "map"}),
        read_pair_weights({"file": str(folder / "weights.json")}),
        read_pair_weights({"file": str(folder / "weights.csv")}),
    ]


def _table(name: str, **columns: str) -> Read:
    return _reader(name, columns={**_COLUMNS, **columns})


TARGETS: dict[str, Target] = {
    "beir": Target(PUBLISHED["beir"], _reader("beir")),
    "beir in languages": Target(_beir_languages, _reader("beir")),
    "csv": Target(_separated, _table("csv", negatives="negatives", split="split")),
    "csv.gz": Target(partial(_separated, ending=".csv.gz"), _table("csv", language="language")),
    "csv, one file": Target(_one_csv, _table("csv", language="language")),
    "tsv": Target(partial(_separated, ending=".tsv", separator="\t"), _table("csv", negatives="negatives")),
    "hub, json": Target(_json_list, _table("hub")),
    "hub, jsonl": Target(_jsonl, _table("hub", negatives="negatives", passage_id="passage_id")),
    "jsonl": Target(_jsonl, _reader("jsonl", title=True)),
    "jsonl.gz": Target(partial(_jsonl, ending=".jsonl.gz"), _reader("jsonl")),
    "qa_jsonl": Target(_jsonl, _reader("jsonl", passage_variants="first")),
    "mfaq": Target(PUBLISHED["mfaq"], _reader("mfaq")),
    "miracl_train": Target(PUBLISHED["miracl_train"], _reader("miracl_train")),
    "mkqa": Target(mkqa, _reader("mkqa")),
    "mkqa of MIA": Target(mkqa_of_mia, _reader("mkqa")),
    "mkqa with passages": Target(_mkqa_passages, _reader("mkqa", passages="passages")),
    "mlqa_translate_train": Target(PUBLISHED["mlqa_translate_train"], _reader("mlqa_translate_train")),
    "mmarco": Target(PUBLISHED["mmarco"], _reader("mmarco")),
    "mmarco, grouped": Target(PUBLISHED["mmarco"], _reader("mmarco", negatives=2)),
    "mr_tydi": Target(PUBLISHED["mr_tydi"], _reader("mr_tydi")),
    "parallel_sentences": Target(PUBLISHED["parallel_sentences"], _reader("parallel_sentences")),
    "parallel_sentences of 2020": Target(sentence_pairs_of_2020, _reader("parallel_sentences")),
    "parallel_sentences, lines": Target(
        partial(_sentences, ending=".txt.gz", prefix=""), _reader("parallel_sentences")
    ),
    "parallel_sentences, ids": Target(
        partial(_sentences, ending=".tsv", prefix="id"), _reader("parallel_sentences")
    ),
    "parquet": Target(_parquet, _table("parquet", negatives="negatives", split="split")),
    "parquet, one file": Target(
        _one_parquet, _table("parquet", language="language", negative_texts="negative")
    ),
    "parquet, wide": Target(
        _wide_parquet,
        _reader("parquet", columns={"id": "id", "question": "q_{language}", "passage": "p_{language}"}),
    ),
    "prepared": Target(PUBLISHED["prepared"], _reader("prepared")),
    "squad": Target(_squad, _reader("squad")),
    "xtreme_squad": Target(PUBLISHED["xtreme_squad"], _reader("xtreme_squad")),
    "benchmark beir": Target(PUBLISHED["beir"], _benchmark("beir", split="test", language="en")),
    "benchmark beir in languages": Target(_beir_languages, _benchmark("beir", split="test", language="en")),
    "benchmark mewsli_x": Target(_mewsli_x, _benchmark("mewsli_x", split="test")),
    "benchmark miracl": Target(PUBLISHED["miracl_train"], _benchmark("miracl", split="dev")),
    "benchmark mlqa_r": Target(_lareqa, _benchmark("mlqa_r", candidate="sentence")),
    "benchmark squadshifts": Target(_squadshifts, _benchmark("squadshifts", subset="new_wiki")),
    "benchmark squadshifts.gz": Target(
        partial(_squadshifts, ending=".json.gz"), _benchmark("squadshifts", subset="new_wiki")
    ),
    "benchmark tatoeba": Target(_tatoeba, _benchmark("tatoeba", kind="query")),
    "benchmark xquad_r": Target(_lareqa, _benchmark("xquad_r", candidate="sentence+context")),
    "embeddings.npz": Target(partial(_embeddings, ending=".npz"), partial(_read_embeddings, ".npz")),
    "embeddings.npy": Target(partial(_embeddings, ending=".npy"), partial(_read_embeddings, ".npy")),
    "embeddings.parquet": Target(
        partial(_embeddings, ending=".parquet"), partial(_read_embeddings, ".parquet")
    ),
    "pair weights": Target(_pair_weights, _read_pair_weights),
}
