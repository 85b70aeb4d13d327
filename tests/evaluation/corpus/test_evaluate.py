import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark, CorpusQuery
from hybrid_retrieval.evaluation.corpus.encode import encode_corpus
from hybrid_retrieval.evaluation.corpus.evaluate import evaluate_corpus
from hybrid_retrieval.evaluation.results import Results
from hybrid_retrieval.index.base import Vectors
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.faiss_index import FaissIndex, IndexSpec
from tests.evaluation.corpus.small import TextEmbedder, collection, random_benchmark


def evaluate(folder: Path, benchmark: CorpusBenchmark | None = None, **options: Any) -> Results:
    return evaluate_corpus(
        options.pop("embedder", TextEmbedder()),
        benchmark or random_benchmark(),
        folder=folder,
        fingerprint="texts 1",
        shard_rows=options.pop("shard_rows", 64),
        progress=False,
        **options,
    )


def with_pytrec_eval(benchmark: CorpusBenchmark, depth: int) -> dict[str, dict[str, float]]:
    """Every query's metrics from a run of the same scores, by NumPy's full sort."""
    embedder = TextEmbedder()
    values: dict[str, dict[str, float]] = {}
    for of in benchmark.collections:
        ids, texts = zip(*[(passage.id, passage.text) for passage in of.passages()], strict=True)
        passages = embedder.embed(ids, texts, "passage").astype(np.float16).astype(np.float32)
        queries = embedder.embed(
            [query.id for query in of.queries], [query.text for query in of.queries], "query"
        )
        run, qrels = {}, {}
        for query, scores in zip(of.queries, queries @ passages.T, strict=True):
            run[query.id] = {ids[i]: float(scores[i]) for i in np.argsort(-scores)[:depth]}
            qrels[query.id] = dict(query.relevant)
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100"})
        values |= {f"{of.name}:{query}": found for query, found in evaluator.evaluate(run).items()}
    return values


def test_agrees_with_pytrec_eval(tmp_path: Path) -> None:
    results, expected = evaluate(tmp_path), with_pytrec_eval(random_benchmark(), 100)

    rows = results.per_query.to_pylist()
    assert [row["query_id"] for row in rows] == list(expected)
    for row in rows:
        of = expected[row["query_id"]]
        assert row["monolingual/ndcg@10"] == pytest.approx(of["ndcg_cut_10"], abs=1e-6)
        assert row["monolingual/recall@100"] == pytest.approx(of["recall_100"], abs=1e-6)
    by_language = {
        code: np.mean([of["ndcg_cut_10"] for query, of in expected.items() if query.startswith(code)])
        for code in ("ar", "en")
    }
    per_language = results.metrics["per_language"]
    assert {code: per_language[code]["monolingual"]["ndcg@10"] for code in by_language} == pytest.approx(
        by_language, abs=1e-6
    )
    assert results.metrics["monolingual"]["ndcg@10"] == pytest.approx(
        np.mean([*by_language.values()]), abs=1e-6
    )


def test_a_relevant_passage_beyond_the_depth_counts_as_not_found(tmp_path: Path) -> None:
    """In the ideal ranking and in the divisor of recall it still counts."""
    benchmark = random_benchmark()
    shallow = CorpusBenchmark("shallow", benchmark.collections, ("ndcg@10", "recall@10"), "monolingual")
    expected = with_pytrec_eval(benchmark, depth=10)
    rows = evaluate(tmp_path, shallow, depth=10).per_query.to_pylist()

    for row in rows:
        of = expected[row["query_id"]]
        assert row["monolingual/ndcg@10"] == pytest.approx(of["ndcg_cut_10"], abs=1e-6)
        assert row["monolingual/recall@10"] == pytest.approx(of["recall_100"], abs=1e-6)
        assert (row["rank"] is None) == (of["recall_100"] == 0)
        assert row["rank"] is None or 1 <= row["rank"] <= 10
    assert any(row["rank"] is None for row in rows)


def test_metrics_json_has_every_key_and_empty_settings(tmp_path: Path) -> None:
    results = evaluate(tmp_path / "shards", run={"seed": 1})
    metrics = json.loads(results.write(tmp_path / "out").read_text())

    assert metrics["counts"] == {
        "queries": {"ar": 40, "en": 25},
        "candidates": {"ar": 300, "en": 300},
        "pool": 600,
    }
    assert set(metrics["monolingual"]) == {"ndcg@10", "recall@100"}
    empty = ("cross_lingual", "multilingual", "language_bias", "per_pair", "per_document_language")
    assert all(metrics[key] == {} for key in empty)
    assert metrics["per_language"]["ar"]["multilingual"] == {}
    assert metrics["run"] == {"seed": 1}
    assert set(metrics["seconds"]) == {"encode", "rank"}
    assert Results.read(tmp_path / "out").per_query.num_rows == 65


def test_a_pool_of_all_languages_is_scored_by_query_language(tmp_path: Path) -> None:
    """The query's text is that of its relevant passage, which so comes first, but for one query."""
    texts = {f"Q{n}": f"entity {n}" for n in range(60)}
    queries = [
        CorpusQuery("a", "entity 7", "ar", {"Q7": 1}),
        CorpusQuery("b", "entity 8", "ar", {"Q8": 1}),
        CorpusQuery("c", "entity 9", "ta", {"Q9": 1}),
        CorpusQuery("d", "entity 10", "ta", {"Q11": 1}),
    ]
    pool = collection("pool", texts, queries, languages=["de", "fr", "sw"])
    benchmark = CorpusBenchmark("pooled", (pool,), ("map@20", "mrr@20"), "multilingual")
    metrics = evaluate(tmp_path, benchmark).metrics

    embedder = TextEmbedder()
    query, passages = (
        embedder.embed(["d"], ["entity 10"], "query"),
        embedder.embed(list(texts), list(texts.values()), "passage"),
    )
    scores = (passages.astype(np.float16).astype(np.float32) @ query.T)[:, 0]
    rank = 1 + int((scores > scores[11]).sum())
    tamil = (1 + (1 / rank if rank <= 20 else 0)) / 2
    for key in ("map@20", "mrr@20"):
        assert metrics["per_language"]["ar"]["multilingual"][key] == 1
        assert metrics["per_language"]["ta"]["multilingual"][key] == pytest.approx(tamil)
        assert metrics["multilingual"][key] == pytest.approx((1 + tamil) / 2)
    assert metrics["monolingual"] == {}
    assert metrics["counts"]["candidates"] == {"de": 20, "fr": 20, "sw": 20}


def test_a_second_evaluation_encodes_no_passage(tmp_path: Path) -> None:
    embedder = TextEmbedder()
    first = evaluate(tmp_path, embedder=embedder)
    assert embedder.passages == 600
    second = evaluate(tmp_path, embedder=embedder)

    assert embedder.passages == 600
    assert second.per_query.equals(first.per_query)


@pytest.mark.parametrize("shard_rows", [37, 300, 10_000])
def test_results_do_not_depend_on_the_shards(tmp_path: Path, shard_rows: int) -> None:
    results = evaluate(tmp_path / "a", shard_rows=shard_rows)
    assert results.per_query.equals(evaluate(tmp_path / "b").per_query)


def test_several_processes_encode_for_the_one_that_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation finds the shards of others missing at first, and waits."""
    options: dict[str, Any] = {"fingerprint": "texts 1", "shard_rows": 64, "world": 3, "progress": False}
    late = TextEmbedder()

    def others(_: float) -> None:
        for rank in (1, 2):
            encode_corpus(late, random_benchmark(), tmp_path / "shared", rank=rank, **options)

    monkeypatch.setattr("time.sleep", others)
    embedder = TextEmbedder()
    results = evaluate(tmp_path / "shared", embedder=embedder, world=3)

    assert embedder.passages + late.passages == 600
    assert 0 < embedder.passages < 600
    assert results.per_query.equals(evaluate(tmp_path / "alone").per_query)


def test_another_searcher_is_used_and_may_find_less(tmp_path: Path) -> None:
    class Half:
        """Finds nothing in the second half of the places."""

        def __init__(self, vectors: Vectors) -> None:
            self.exact = ExactSearch(vectors)

        def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            scores, positions = self.exact.search(queries, k)
            scores[:, k // 2 :], positions[:, k // 2 :] = -np.inf, -1
            return scores, positions

    ranks = evaluate(tmp_path, searcher=Half).per_query["rank"].to_pylist()
    exact = evaluate(tmp_path).per_query["rank"].to_pylist()
    assert ranks == [rank if rank is not None and rank <= 50 else None for rank in exact]
    assert ranks != exact


def test_embeddings_of_another_model_are_refused(tmp_path: Path) -> None:
    evaluate(tmp_path)
    with pytest.raises(UserError, match=r"by another model \(texts 1, not texts 2\)"):
        evaluate_corpus(
            TextEmbedder(), random_benchmark(), folder=tmp_path, fingerprint="texts 2", shard_rows=64
        )


def test_a_depth_that_the_metrics_exceed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"depth=99 is too small for ndcg@10, recall@100: retrieve 100"):
        evaluate(tmp_path, depth=99)


def test_broken_query_embeddings_are_named(tmp_path: Path) -> None:
    class Broken(TextEmbedder):
        def embed(self, ids: Any, texts: Any, kind: Any, *, title: str | None = None) -> np.ndarray:
            embeddings = super().embed(ids, texts, kind)
            embeddings[[i == "en:3" for i in ids]] = np.nan
            return embeddings

    with pytest.raises(UserError, match=r"1 of 25 query embeddings hold NaN .*, first that of 'en:3'"):
        evaluate(tmp_path, embedder=Broken())


def test_run_files_and_qrels_give_the_same_numbers(tmp_path: Path) -> None:
    results = evaluate(tmp_path / "shards", trec=tmp_path / "trec")
    for code in ("ar", "en"):
        with (
            (tmp_path / f"trec/runs/monolingual/{code}.trec").open() as run,
            (tmp_path / f"trec/qrels/monolingual/{code}.qrels").open() as qrels,
        ):
            evaluator = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(qrels), {"ndcg_cut.10"})
            found = evaluator.evaluate(pytrec_eval.parse_run(run))
        value = np.mean([of["ndcg_cut_10"] for of in found.values()])
        own = results.metrics["per_language"][code]["monolingual"]["ndcg@10"]
        assert own == pytest.approx(value, abs=1e-6)
    lines = (tmp_path / "trec/runs/monolingual/en.trec").read_text().splitlines()
    assert len(lines) == 25 * 100
    assert lines[99].split()[0:4:3] == ["0", "100"]


def test_ids_that_would_break_a_run_file_are_refused(tmp_path: Path) -> None:
    texts = {"a b": "text", "c": "other"}
    of = collection("de", texts, [CorpusQuery("1", "text", "de", {"c": 1})])
    benchmark = CorpusBenchmark("b", (of,), ("map",), "monolingual")
    with pytest.raises(UserError, match="passage id 'a b' holds white space"):
        evaluate(tmp_path / "shards", benchmark, trec=tmp_path / "trec")
    assert not (tmp_path / "trec").exists()


def test_an_index_reports_its_recall_against_exact_search(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    exact = evaluate(tmp_path, recall_queries=10)
    flat = evaluate(
        tmp_path,
        searcher=lambda vectors: FaissIndex.build(vectors, IndexSpec("Flat")),
        index="flat",
        recall_queries=10,
    )
    assert exact.metrics["index"] == {"ar": {"type": "exact"}, "en": {"type": "exact"}}
    assert flat.metrics["index"]["ar"]["type"] == "flat"
    assert flat.metrics["index"]["ar"]["recall@10"] == flat.metrics["index"]["en"]["recall@100"] == 1
    assert flat.metrics["monolingual"] == pytest.approx(exact.metrics["monolingual"])
