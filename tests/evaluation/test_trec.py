"""The files say what metrics.json says, to pytrec_eval and to ir_measures."""

import dataclasses
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from ir_measures import AP, RR, R, nDCG

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.evaluation.ranking import rank_benchmark
from hybrid_retrieval.evaluation.trec import write_trec

from .synthetic import exact_embeddings, random_benchmark

BY_PYTREC_EVAL = {
    "map": "map",
    "recall@1": "recall_1",
    "recall@10": "recall_10",
    "ndcg@10": "ndcg_cut_10",
}
BY_IR_MEASURES = {"map": AP, "recall@1": R @ 1, "recall@10": R @ 10, "ndcg@10": nDCG @ 10, "mrr@10": RR}


def with_grades(benchmark: Benchmark, seed: int) -> Benchmark:
    grades = np.random.default_rng(seed).integers(1, 4, len(benchmark.relevant))
    return dataclasses.replace(benchmark, grades=grades)


def shuffled_queries(benchmark: Benchmark, seed: int) -> Benchmark:
    """Queries of all languages in a random order."""
    order = np.random.default_rng(seed).permutation(len(benchmark.query_ids))
    answers = np.split(benchmark.relevant, benchmark.relevant_offsets[1:-1])
    return dataclasses.replace(
        benchmark,
        query_ids=[benchmark.query_ids[q] for q in order],
        query_texts=[benchmark.query_texts[q] for q in order],
        query_group=[benchmark.query_group[q] for q in order],
        query_language=benchmark.query_language[order],
        relevant_offsets=np.cumsum([0, *(len(answers[q]) for q in order)]),
        relevant=np.concatenate([answers[q] for q in order]),
    )


def of_pytrec_eval(run_file: Path, qrels_file: Path) -> dict[str, float]:
    with run_file.open(encoding="utf-8") as run_lines, qrels_file.open(encoding="utf-8") as qrels_lines:
        run, qrels = pytrec_eval.parse_run(run_lines), pytrec_eval.parse_qrel(qrels_lines)
    assert set(run) == set(qrels)
    names = {"map", "recall.1,10", "ndcg_cut.10", "recip_rank"}
    found = pytrec_eval.RelevanceEvaluator(qrels, names).evaluate(run).values()
    means = {key: float(np.mean([of[name] for of in found])) for key, name in BY_PYTREC_EVAL.items()}
    reciprocal = [of["recip_rank"] if of["recip_rank"] >= 0.1 else 0 for of in found]
    return means | {"mrr@10": float(np.mean(reciprocal))}


def of_ir_measures(run_file: Path, qrels_file: Path) -> dict[str, float]:
    qrels = list(ir_measures.read_trec_qrels(str(qrels_file)))  # type: ignore[no-untyped-call]
    run = list(ir_measures.read_trec_run(str(run_file)))  # type: ignore[no-untyped-call]
    values: dict[str, list[float]] = {key: [] for key in BY_IR_MEASURES}
    for metric in ir_measures.iter_calc(BY_IR_MEASURES.values(), qrels, run):
        key = next(key for key, measure in BY_IR_MEASURES.items() if measure == metric.measure)
        values[key].append(0 if key == "mrr@10" and metric.value < 0.1 else metric.value)
    return {key: float(np.mean(of_queries)) for key, of_queries in values.items()}


def expected_of(metrics: dict[str, Any], setting: str, name: str) -> dict[str, float]:
    if setting == "cross_lingual":
        x, y = name.split("-")
        return dict(metrics["per_pair"][x][y])
    return dict(metrics["per_language"][name][setting])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [None, 100])
def test_both_tools_find_our_numbers(tmp_path: Path, seed: int, depth: int | None) -> None:
    benchmark = shuffled_queries(random_benchmark(seed, languages=3, groups=12, extra=330), seed)
    benchmark = with_grades(benchmark, seed) if seed % 2 else benchmark
    queries = exact_embeddings(seed, len(benchmark.query_ids))
    candidates = exact_embeddings(seed + 100, len(benchmark.candidate_ids))
    metrics = evaluate_embeddings(queries, candidates, benchmark).metrics
    write_trec(tmp_path, queries, candidates, benchmark, depth=depth, block_bytes=20_000)

    keys = [key for key in BY_IR_MEASURES if depth is None or key != "map"]
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        macro: dict[str, list[float]] = {key: [] for key in keys}
        for run_file in sorted((tmp_path / "runs" / setting).iterdir()):
            qrels_file = tmp_path / "qrels" / setting / f"{run_file.stem}.qrels"
            expected = expected_of(metrics, setting, run_file.stem)
            for tool in (of_pytrec_eval, of_ir_measures):
                found = tool(run_file, qrels_file)
                assert [found[key] for key in keys] == pytest.approx(
                    [expected[key] for key in keys], abs=1e-6
                )
            for key in keys:
                macro[key].append(found[key])
        means = [np.mean(macro[key]) for key in keys]
        assert means == pytest.approx([metrics[setting][key] for key in keys], abs=1e-6)


def test_every_pair_with_answers_has_a_run_and_its_qrels(tmp_path: Path) -> None:
    benchmark = random_benchmark(3, languages=4, groups=1)
    assert set(benchmark.query_language.tolist()) != {0, 1, 2, 3}
    queries = exact_embeddings(0, len(benchmark.query_ids))
    candidates = exact_embeddings(1, len(benchmark.candidate_ids))
    write_trec(tmp_path, queries, candidates, benchmark)
    metrics = evaluate_embeddings(queries, candidates, benchmark).metrics
    pairs = {
        f"{x}-{y}"
        for x, row in metrics["per_pair"].items()
        for y, of in row.items()
        if not np.isnan(of["map"])
    }
    for folder in ("runs", "qrels"):
        assert {path.stem for path in (tmp_path / folder / "cross_lingual").iterdir()} == pairs


def test_one_language_has_no_cross_lingual_runs(tmp_path: Path) -> None:
    benchmark = random_benchmark(1, languages=1)
    write_trec(tmp_path, exact_embeddings(0, len(benchmark.query_ids)),
        exact_embeddings(1, len(benchmark.candidate_ids)), benchmark)  # fmt: skip
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "qrels/monolingual/ar.qrels",
        "qrels/multilingual/ar.qrels",
        "runs/monolingual/ar.trec",
        "runs/multilingual/ar.trec",
    ]


def test_scores_are_read_as_the_same_float32_and_ranks_count_from_1(tmp_path: Path) -> None:
    benchmark = random_benchmark(2, groups=20, extra=100)
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((len(benchmark.query_ids), 32), dtype=np.float32) * 1e-3
    candidates = generator.standard_normal((len(benchmark.candidate_ids), 32), dtype=np.float32)
    write_trec(tmp_path, queries, candidates, benchmark, depth=None, tag="r1")
    scores = dict(zip(benchmark.query_ids, queries @ candidates.T, strict=True))
    position = {i: n for n, i in enumerate(benchmark.candidate_ids)}
    for run_file in (tmp_path / "runs" / "multilingual").iterdir():
        rank_of: dict[str, int] = {}
        last = np.inf
        for line in run_file.read_text(encoding="utf-8").splitlines():
            query, q0, candidate, rank, score, tag = line.split(" ")
            rank_of[query] = rank_of.get(query, 0) + 1
            assert (q0, int(rank), tag) == ("Q0", rank_of[query], "r1")
            last = float(score) if rank == "1" else last
            assert float(score) <= last
            last = float(score)
            assert np.float32(score) == pytest.approx(scores[query][position[candidate]], rel=1e-5, abs=1e-9)
            assert f"{np.float32(score):.9g}" == score
        assert set(rank_of.values()) == {len(position)}


def test_the_order_is_that_of_the_ranking(tmp_path: Path) -> None:
    benchmark = shuffled_queries(random_benchmark(6, languages=4, groups=30, extra=500), 6)
    generator = np.random.default_rng(6)
    queries = generator.standard_normal((len(benchmark.query_ids), 64), dtype=np.float32)
    candidates = generator.standard_normal((len(benchmark.candidate_ids), 64), dtype=np.float32)
    candidates = candidates[np.arange(len(candidates)) // 2]  # each twice: equal scores
    ranking = rank_benchmark(
        queries,
        candidates,
        benchmark,
        top=50,
        block_bytes=50_000,
    )
    write_trec(tmp_path, queries, candidates, benchmark, depth=50, block_bytes=50_000)
    found: dict[str, list[str]] = {}
    for run_file in (tmp_path / "runs" / "multilingual").iterdir():
        for line in run_file.read_text(encoding="utf-8").splitlines():
            found.setdefault(line.split()[0], []).append(line.split()[2])
    assert found == {
        query: [benchmark.candidate_ids[i] for i in top]
        for query, top in zip(benchmark.query_ids, ranking.top, strict=True)
    }


def test_equal_scores_are_in_the_order_of_trec_eval_at_the_depth_s_edge(tmp_path: Path) -> None:
    benchmark = random_benchmark(4, languages=2, groups=10, extra=60)
    queries = np.ones((len(benchmark.query_ids), 1), dtype=np.float32)
    candidates = np.ones((len(benchmark.candidate_ids), 1), dtype=np.float32)
    write_trec(tmp_path, queries, candidates, benchmark, depth=5)
    by_id = sorted(benchmark.candidate_ids, reverse=True)
    for run_file in (tmp_path / "runs").rglob("*.trec"):
        ids = [line.split()[2] for line in run_file.read_text(encoding="utf-8").splitlines()]
        if run_file.parent.name == "multilingual":
            assert ids[:5] == by_id[:5]
        else:
            code = run_file.stem.split("-")[-1]
            assert ids[:5] == [i for i in by_id if i.startswith(code)][:5]


def test_block_size_does_not_matter_and_settings_can_be_chosen(tmp_path: Path) -> None:
    benchmark = shuffled_queries(random_benchmark(5, groups=15, extra=50), 0)
    queries = exact_embeddings(0, len(benchmark.query_ids))
    candidates = exact_embeddings(1, len(benchmark.candidate_ids))
    texts = []
    for name, block_bytes in (("a", 1), ("b", 3000), ("c", None)):
        write_trec(tmp_path / name, queries, candidates, benchmark, block_bytes=block_bytes)
        files = sorted((tmp_path / name).rglob("*.*"))
        texts.append([(str(path.relative_to(tmp_path / name)), path.read_text("utf-8")) for path in files])
    assert texts[0] == texts[1] == texts[2]
    write_trec(tmp_path / "one", queries, candidates, benchmark, settings=["multilingual"])
    written = sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*"))
    assert written == [name for name, _ in texts[0] if "multilingual" in name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate_ids": "a b"}, r"1 of \d+ candidate ids .* the first is 'a b'\. Rename"),
        ({"candidate_ids": "a\u3000b"}, "candidate ids"),
        ({"query_ids": ""}, r"1 of \d+ query ids are empty or hold white space"),
        ({"languages": "../x"}, r"the language '\.\./x' cannot be part of a file's name"),
    ],
)
def test_names_that_break_the_format_are_refused_and_nothing_is_lost(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    benchmark = random_benchmark(0)
    changed: dict[str, Any] = {
        field: [value, *getattr(benchmark, field)[1:]] for field, value in change.items()
    }
    broken = dataclasses.replace(benchmark, **changed)
    queries = exact_embeddings(0, len(benchmark.query_ids))
    candidates = exact_embeddings(1, len(benchmark.candidate_ids))
    folder = tmp_path / "trec"
    write_trec(folder, queries, candidates, benchmark)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        write_trec(folder, queries, candidates, broken)
    with pytest.raises(UserError, match="run names"):
        write_trec(folder, queries, candidates, benchmark, tag="my run")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_older_result_is_replaced_as_a_whole_and_kept_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = {n: exact_embeddings(n, len(random_benchmark(n).query_ids)) for n in (0, 1)}
    candidates = {n: exact_embeddings(n, len(random_benchmark(n).candidate_ids)) for n in (0, 1)}
    folder = tmp_path / "trec"
    write_trec(folder, queries[0], candidates[0], random_benchmark(0))
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("hybrid_retrieval.evaluation.trec._lines", fail)
        with pytest.raises(OSError, match="disk full"):
            write_trec(folder, queries[1], candidates[1], random_benchmark(1))
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    write_trec(folder, queries[1], candidates[1], random_benchmark(1, languages=3), settings=["monolingual"])
    assert sorted(path.name for path in folder.rglob("*") if path.is_dir()) == [
        "monolingual", "monolingual", "qrels", "runs"
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["trec"]


def test_arguments_are_checked(tmp_path: Path) -> None:
    benchmark = random_benchmark(0)
    queries = exact_embeddings(0, len(benchmark.query_ids))
    candidates = exact_embeddings(1, len(benchmark.candidate_ids))
    with pytest.raises(ValueError, match="do not fit"):
        write_trec(tmp_path, queries[1:], candidates, benchmark)
    with pytest.raises(ValueError, match="NaN or infinity"):
        write_trec(tmp_path, queries, np.full_like(candidates, np.nan), benchmark)
    with pytest.raises(ValueError, match="not among"):
        write_trec(tmp_path, queries, candidates, benchmark, settings=["bilingual"])
    with pytest.raises(ValueError, match="depth"):
        write_trec(tmp_path, queries, candidates, benchmark, depth=0)
