import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.evaluate import evaluate, evaluate_embeddings
from hybrid_retrieval.evaluation.language_bias.catalogue import BY_QUERY
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.evaluation.results import Results

from .synthetic import exact_embeddings, random_benchmark
from .test_encode import MeanEncoder

CONTRACT = {
    "schema", "model", "benchmark", "run", "counts", "monolingual", "cross_lingual", "multilingual",
    "language_bias", "per_language", "per_pair", "per_document_language", "confusion", "per_query",
    "seconds", "environment",
}  # fmt: skip


def results(seed: int = 0, complete: bool = True, languages: int = 3, **options: Any) -> Results:
    benchmark = random_benchmark(seed, languages=languages, groups=10, extra=20, complete=complete)
    return evaluate_embeddings(
        exact_embeddings(seed, len(benchmark.query_ids)),
        exact_embeddings(seed + 1, len(benchmark.candidate_ids)),
        benchmark,
        **options,
    )


def test_metrics_json_keeps_the_contract(tmp_path: Path) -> None:
    run = {"strategy": "hybrid", "alpha": 0.5, "seed": 1}
    path = results(model="m", run=run, encode_seconds=2.5).write(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    assert set(metrics) == CONTRACT
    assert (metrics["schema"], metrics["model"], metrics["run"]) == (1, "m", run)
    assert set(metrics["counts"]) == {"queries", "candidates", "pool"}
    settings = ("monolingual", "cross_lingual", "multilingual")
    assert all(list(metrics[setting]) == list(METRICS) for setting in settings)
    assert set(metrics["per_language"]) == {"ar", "de", "en"}
    for of_language in metrics["per_language"].values():
        assert set(of_language) == {*settings, *BY_QUERY}
    assert {x: set(row) for x, row in metrics["per_pair"].items()} == {
        "ar": {"de", "en"},
        "de": {"ar", "en"},
        "en": {"ar", "de"},
    }
    assert metrics["seconds"]["encode"] == 2.5
    assert sorted(file.name for file in path.parent.iterdir()) == ["metrics.json", metrics["per_query"]]


def test_nothing_in_the_file_names_the_machine_or_the_user(tmp_path: Path) -> None:
    text = results().write(tmp_path).read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("key", list(METRICS))
def test_averages_are_those_of_the_table_per_query(key: str) -> None:
    found = results(3)
    table = found.per_query.to_pandas()
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        by_language = table.groupby("language")[f"{setting}/{key}"].mean()
        assert found.metrics[setting][key] == pytest.approx(by_language.mean())
        for code, value in by_language.items():
            assert found.metrics["per_language"][code][setting][key] == pytest.approx(value)
    pairs = found.metrics["per_pair"]
    all_pairs = [of[key] for row in pairs.values() for of in row.values()]
    assert found.metrics["cross_lingual"][key] == pytest.approx(np.mean(all_pairs))


def test_ranks_per_query_give_the_rank_distance_and_the_monolingual_reciprocal_rank() -> None:
    table = results(4).per_query.to_pandas()
    pool_ranks = table[[f"pool_rank/{code}" for code in ("ar", "de", "en")]]
    assert (pool_ranks.max(axis=1) - pool_ranks.min(axis=1)).tolist() == table["rank_distance"].tolist()
    own = np.array([row[f"rank/{row['language']}"] for _, row in table.iterrows()])
    assert np.where(own <= 10, 1 / own, 0).tolist() == pytest.approx(table["monolingual/mrr@10"].tolist())


def test_a_query_counts_in_a_pair_only_with_an_answer_in_that_language() -> None:
    found = results(6, complete=False)
    table = found.per_query.to_pandas()
    for x, row in found.metrics["per_pair"].items():
        for y, values in row.items():
            ranks = table.loc[table["language"] == x, f"rank/{y}"].dropna()
            hits = (1 / ranks).where(ranks <= 10, 0)
            assert values["mrr@10"] == pytest.approx(hits.mean() if len(hits) else math.nan, nan_ok=True)


def test_what_nothing_defines_is_null_in_the_file(tmp_path: Path) -> None:
    found = results(languages=1)
    metrics = json.loads(found.write(tmp_path).read_text(encoding="utf-8"))
    assert metrics["cross_lingual"] == dict.fromkeys(METRICS)
    assert metrics["language_bias"] == dict.fromkeys(BY_QUERY)
    assert metrics["monolingual"] == metrics["multilingual"]
    assert (
        pq.read_table(tmp_path / "per_query.parquet")["rank_distance"].null_count == found.per_query.num_rows
    )


def test_an_encoder_is_evaluated_as_its_embeddings_are() -> None:
    benchmark = random_benchmark(1, complete=True)
    found = evaluate(EncoderEmbedder(MeanEncoder()), benchmark, progress=False)  # type: ignore[arg-type]
    assert found.metrics["model"] == "mean"
    assert found.metrics["seconds"]["encode"] > 0
    other = EncoderEmbedder(MeanEncoder(), name="named", token_budget=10)  # type: ignore[arg-type]
    renamed = evaluate(other, benchmark, progress=False)
    assert renamed.metrics["model"] == "named"
    assert renamed.metrics["multilingual"] == pytest.approx(found.metrics["multilingual"], abs=1e-6)


def test_broken_embeddings_are_counted_and_the_first_is_named() -> None:
    benchmark = random_benchmark(0, complete=True)
    queries, candidates = (
        exact_embeddings(0, len(ids)) for ids in (benchmark.query_ids, benchmark.candidate_ids)
    )
    broken = candidates.copy()
    broken[[3, 5], 1] = np.nan, np.inf
    with pytest.raises(UserError, match=f"candidate embeddings: 2 of .*'{benchmark.candidate_ids[3]}'"):
        evaluate_embeddings(queries, broken, benchmark)
    with pytest.raises(UserError, match=r"query embeddings have shape \(2, 4\); \(18, dimension\)"):
        evaluate_embeddings(queries[:2], candidates, benchmark)
    with pytest.raises(UserError, match=r"query embeddings have 3 dimensions, candidate embeddings 4"):
        evaluate_embeddings(queries[:, :3], candidates, benchmark)


def test_an_interrupted_write_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = results(model="old").write(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(table: object, where: Path) -> None:
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        results(model="new").write(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == "old"


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    written = results(2)
    written.write(tmp_path)
    read = Results.read(tmp_path)
    assert read.metrics == written.metrics
    assert read.per_query.equals(written.per_query)


def test_reading_what_is_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.json: no such file"):
        Results.read(tmp_path)
    path = results().write(tmp_path)
    good = path.read_text(encoding="utf-8")
    for text, message in (
        (good[:500], r"metrics\.json: not the JSON of an evaluation"),
        ("[]", r"metrics\.json: lacks schema, model"),
        ('{"schema": 1}', r"metrics\.json: lacks model"),
        (good.replace('"schema": 1', '"schema": 2'), "has schema 2, not 1"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            Results.read(tmp_path)
    path.write_text(good, encoding="utf-8")
    (tmp_path / "per_query.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"per_query\.parquet: not a Parquet file"):
        Results.read(tmp_path)
