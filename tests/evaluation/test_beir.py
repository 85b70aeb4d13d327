import gzip
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.beir import beir
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings

from .synthetic import random_benchmark
from .test_xquad_r import relevant_ids

DOCUMENTS = [
    {"_id": "d1", "title": "Rivers", "text": "The Nile flows north."},
    {"_id": "d2", "title": "", "text": "Sand."},
    {"_id": "d3", "text": "No title."},
    {"_id": 4, "title": "Only a title", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "Where does the Nile flow?", "metadata": {}},
    {"_id": "unjudged", "text": "Nobody looked."},
    {"_id": "q2", "text": "What is a desert made of?"},
]
QRELS = [("q2", "d2", 1), ("q1", "d1", 2), ("q1", "4", 1), ("q1", "d3", 0), ("q2", "d1", -1)]


def lines(records: Sequence[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def table(qrels: Sequence[tuple[object, ...]]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in [("query-id", "corpus-id", "score"), *qrels])


def write(
    folder: Path,
    documents: Sequence[Any] = DOCUMENTS,
    queries: Sequence[Any] = QUERIES,
    qrels: Sequence[tuple[object, ...]] = QRELS,
    split: str = "test",
) -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text(lines(documents), encoding="utf-8")
    (folder / "queries.jsonl").write_text(lines(queries), encoding="utf-8")
    (folder / "qrels" / f"{split}.tsv").write_text(table(qrels), encoding="utf-8")
    return folder


def test_a_collection_of_one_language(tmp_path: Path) -> None:
    benchmark = beir(write(tmp_path / "scifact"), language="de")
    assert benchmark.name == "beir_scifact"
    assert benchmark.languages == ("de",)
    assert benchmark.candidate_texts == ["Rivers The Nile flows north.", "Sand.", "No title.", "Only a title"]
    assert benchmark.query_ids == benchmark.query_group == ["q1", "q2"]
    assert relevant_ids(benchmark) == {"q1": ["d1", "4"], "q2": ["d2"]}
    assert benchmark.grades is not None
    assert benchmark.grades.tolist() == [2, 1, 1]


def test_grades_count_in_ndcg(tmp_path: Path) -> None:
    benchmark = beir(write(tmp_path))
    queries = np.eye(2, dtype=np.float32)
    candidates = np.array([[0.5, 0], [0, 1], [0.25, 0], [1, 0]], dtype=np.float32)
    metrics = evaluate_embeddings(queries, candidates, benchmark).metrics
    of_q1 = (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))  # grade 1 first, grade 2 second
    assert metrics["monolingual"]["ndcg@10"] == pytest.approx((of_q1 + 1) / 2)
    assert metrics["monolingual"]["map"] == 1.0
    assert math.isnan(metrics["cross_lingual"]["map"])


def write_benchmark(folder: Path, benchmark: Benchmark, grades: Sequence[int]) -> Path:
    codes = benchmark.languages
    documents = [
        {"_id": i, "text": text, "language": codes[x]}
        for i, text, x in zip(
            benchmark.candidate_ids, benchmark.candidate_texts, benchmark.candidate_language, strict=True
        )
    ]
    queries = [
        {"_id": i, "text": text, "language": codes[x], "group": group}
        for i, text, x, group in zip(
            benchmark.query_ids,
            benchmark.query_texts,
            benchmark.query_language,
            benchmark.query_group,
            strict=True,
        )
    ]
    qrels = [
        (query, benchmark.candidate_ids[benchmark.relevant[pair]], grades[pair])
        for query, span in zip(benchmark.query_ids, pairwise(benchmark.relevant_offsets), strict=True)
        for pair in range(*span)
    ]
    return write(folder, documents, queries, qrels)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_benchmark_written_in_this_format_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    written = random_benchmark(seed)
    grades = np.random.default_rng(seed).integers(1, 4, len(written.relevant))
    read = beir(write_benchmark(tmp_path_factory.mktemp("beir"), written, grades.tolist()))
    present = {written.languages[x] for x in {*written.query_language, *written.candidate_language}}
    assert read.languages == tuple(sorted(present))
    for name in ("query_ids", "query_texts", "query_group", "candidate_ids", "candidate_texts"):
        assert getattr(read, name) == getattr(written, name)
    for name in ("query_language", "candidate_language"):
        codes = [[benchmark.languages[x] for x in getattr(benchmark, name)] for benchmark in (read, written)]
        assert codes[0] == codes[1]
    assert relevant_ids(read) == relevant_ids(written)
    assert read.grades is not None
    assert read.grades.tolist() == grades.tolist()


def test_files_may_be_compressed_and_hold_blank_lines_and_repeated_judgements(tmp_path: Path) -> None:
    plain = beir(write(tmp_path, qrels=[*QRELS, QRELS[0]]))
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        content = (tmp_path / name).read_text(encoding="utf-8").replace("\n", "\r\n\r\n")
        with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8", newline="") as file:
            file.write(content)
        (tmp_path / name).unlink()
    compressed = beir(tmp_path)
    assert relevant_ids(compressed) == relevant_ids(plain) == {"q1": ["d1", "4"], "q2": ["d2"]}
    assert compressed.candidate_texts == plain.candidate_texts


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.jsonl: no such file, nor corpus\.jsonl\.gz.*BEIR's format"):
        beir(tmp_path)
    write(tmp_path, split="dev")
    with pytest.raises(UserError, match=r"qrels/test\.tsv: no such file.*splits dev: set benchmark\.split"):
        beir(tmp_path)
    assert beir(tmp_path, split="dev").name == f"beir_{tmp_path.name}_dev"
    (tmp_path / "corpus.jsonl.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds both corpus\.jsonl and corpus\.jsonl\.gz"):
        beir(tmp_path, split="dev")


Records = list[dict[str, Any]]


def with_language(of: Records) -> Records:
    return [{**record, "language": "en"} for record in of]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d, q: d.append({"_id": "d1", "text": "x"}),
            r"corpus\.jsonl:5: the _id 'd1' is also in line 1",
        ),
        (lambda d, q: q.append({"_id": "q2", "text": "x"}), r"queries\.jsonl:4: the _id 'q2' is .* line 3"),
        (lambda d, q: d[1].update(text=" "), r"corpus\.jsonl:2: 'title and text' is empty"),
        (lambda d, q: d[1].pop("text"), r"corpus\.jsonl:2: the field 'text' is missing \(fields: _id, title"),
        (lambda d, q: d[1].update(text=["x"]), r"corpus\.jsonl:2: 'text' must be a string"),
        (lambda d, q: d[0].pop("_id"), r"corpus\.jsonl:1: the field '_id' is missing"),
        (lambda d, q: q[0].update(text=""), r"queries\.jsonl:1: 'text' is empty"),
        (lambda d, q: q[0].update(group=[]), r"queries\.jsonl:1: an id in 'group'"),
        (lambda d, q: d[2].update(language="English"), r"corpus\.jsonl:3: 'English' is not a language code"),
        (
            lambda d, q: d.__setitem__(slice(None), with_language(d)),
            r"queries\.jsonl:1: no 'language', and 4 other lines .* \(the first is \S+corpus\.jsonl:1\)",
        ),
        (lambda d, q: d.clear(), r"corpus\.jsonl:1: the file is empty"),
    ],
)
def test_malformed_lines_are_named(
    tmp_path: Path, damage: Callable[[Records, Records], Any], message: str
) -> None:
    documents, queries = [dict(d) for d in DOCUMENTS], [dict(q) for q in QUERIES]
    damage(documents, queries)
    with pytest.raises(UserError, match=message):
        beir(write(tmp_path, documents, queries))


def test_a_cut_off_line_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "corpus.jsonl").write_text(lines(DOCUMENTS)[:-15], encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus\.jsonl:4: the JSON object is cut off"):
        beir(tmp_path)
    (tmp_path / "corpus.jsonl").write_text("[1]\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus\.jsonl:1: expected an object"):
        beir(tmp_path)


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ([*QRELS, ("q1", "d9", 1), ("q1", "d8", 0)], r"test\.tsv:7: no line .* the document 'd9' \(2 such"),
        ([("q7", "d1", 1)], r"test\.tsv:2: no line .* the query 'q7' \(1 such"),
        ([*QRELS, ("q1", "d1", 1)], r"test\.tsv:7: 'q1' and 'd1' have two scores, 2 and 1"),
        ([*QRELS, ("q1", "d1")], r"test\.tsv:7: 'q1\\td1' is not query-id, corpus-id and a whole number"),
        ([*QRELS, ("q1", "d1", 0.5)], r"test\.tsv:7: .* is not query-id, corpus-id and a whole number"),
        ([*QRELS, ("unjudged", "d1", 0)], r"test\.tsv: 1 of 3 queries have no relevant document.*'unjudged'"),
        ([], r"test\.tsv: holds no judgement"),
    ],
)
def test_malformed_qrels_name_the_line(tmp_path: Path, qrels: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        beir(write(tmp_path, qrels=qrels))


def test_qrels_without_their_header_would_lose_a_line(tmp_path: Path) -> None:
    file = write(tmp_path) / "qrels" / "test.tsv"
    file.write_text(file.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    with pytest.raises(UserError, match=r"test\.tsv:1: the first line must be the header query-id corpus-id"):
        beir(tmp_path)
