"""`hybrid-retrieval evaluate` as a user gives it, on small benchmarks of every kind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from hybrid_retrieval.evaluation.benchmarks.beir import beir
from hybrid_retrieval.models.encoder import TextEncoder
from tests.conftest import Command
from tests.evaluation.test_beir import write as write_beir
from tests.evaluation.test_miracl import LAYOUTS, write_language
from tests.evaluation.test_mlqa_r import write as write_lareqa
from tests.own_data import write_own_data
from tests.refusal import refused

LANGUAGES = ("de", "en", "sw")


def metrics_of(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if key not in ("seconds", "environment")}


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`paths.benchmarks` with a parallel BEIR folder, MLQA-R and MIRACL in the places `prepare` names."""
    root = tmp_path_factory.mktemp("benchmarks")
    documents, queries, qrels = [], [], []
    for language in LANGUAGES:
        for number in range(12):
            text = f"{language}: shelf {number} holds {'x' * number}."
            documents.append({"_id": f"{language}:{number}", "title": "", "text": text, "language": language})
        for number in range(6):
            query = {"_id": f"{language}:q{number}", "text": f"{language}: what is on shelf {number}?"}
            queries.append({**query, "language": language, "group": str(number)})
            qrels += [(f"{language}:q{number}", f"{other}:{number}", 1) for other in LANGUAGES]
    write_beir(root / "beir", documents, queries, qrels)
    (root / "mlqa_r").mkdir()
    for code in ("de", "en"):
        write_lareqa(root / "mlqa_r", code, ["a", "b"])
    topics, names, passages = LAYOUTS["hub"]
    for language in ("ar", "sw"):
        write_language(root / "miracl", language, topics=topics, qrels=names, documents=passages)
    return root


def test_a_list_of_benchmarks_writes_a_folder_each(
    command: Command, benchmarks: Path, tmp_path: Path
) -> None:
    own = ("model=tiny", f"paths.benchmarks={benchmarks}")
    outcome = command("evaluate", *own, "benchmark=[beir,mlqa_r]", f"hydra.run.dir={tmp_path / 'both'}")
    assert outcome.status == 0, outcome
    paths = [tmp_path / "both" / name / "metrics.json" for name in ("beir", "mlqa_r")]
    assert outcome.out.splitlines()[-2:] == [str(path) for path in paths]

    alone = command("evaluate", *own, "benchmark=mlqa_r", f"hydra.run.dir={tmp_path / 'alone'}")
    assert alone.status == 0, alone
    assert metrics_of(tmp_path / "alone") == metrics_of(tmp_path / "both" / "mlqa_r")

    for overrides, says in (
        (
            ["benchmark=[beir,mlqa_r]", "benchmark.split=dev"],
            "benchmark.split=dev: with several",
        ),
        (["benchmark=[beir,beir]"], "names a benchmark twice"),
        (["benchmark=[beir,nonsense]"], "nonsense"),
        (["benchmark=beir", "index=flat"], ["index=flat", "needs no index"]),
        (["benchmark=beir", "trec.depth=0"], "trec.depth=0"),
        (["benchmark=beir", "block_mb=-1"], "block_mb=-1"),
    ):
        refused(command, "evaluate", *own, *overrides, f"hydra.run.dir={tmp_path / 'no'}", says=says)
        assert not (tmp_path / "no").exists()


def test_files_of_embeddings_score_as_the_model_that_made_them(
    command: Command, benchmarks: Path, tmp_path: Path
) -> None:
    options = ("benchmark=beir", f"paths.benchmarks={benchmarks}")
    assert command("evaluate", "model=tiny", *options, f"hydra.run.dir={tmp_path / 'model'}").status == 0
    from hybrid_retrieval.evaluation.embedder import EncoderEmbedder  # noqa: PLC0415

    benchmark, embedder = beir(benchmarks / "beir"), EncoderEmbedder(TextEncoder.load("tiny"))
    files = {
        "queries": (benchmark.query_ids, embedder.embed(benchmark.query_ids, benchmark.query_texts, "query")),
        "candidates": (
            benchmark.candidate_ids,
            embedder.embed(benchmark.candidate_ids, benchmark.candidate_texts, "passage"),
        ),
    }
    overrides = []
    for name, (ids, embeddings) in files.items():
        np.savez(tmp_path / f"{name}.npz", ids=np.array(ids), embeddings=embeddings)
        overrides.append(f"embeddings.{name}={tmp_path / name}.npz")

    outcome = command("evaluate", *overrides, *options, f"hydra.run.dir={tmp_path / 'files'}")

    assert outcome.status == 0, outcome
    model, found = metrics_of(tmp_path / "model"), metrics_of(tmp_path / "files")
    assert found.pop("model") != model.pop("model")
    assert found == model
    refused(command, "evaluate", *overrides, "model=tiny", *options, says="take the place of a model")
    refused(command, "evaluate", *options, says=["model=", "embeddings.queries="])


def test_language_shift_reports_both_sides(command: Command, own_data: Path, tmp_path: Path) -> None:
    parallel = ["benchmark=parallel", f"benchmark.path={own_data}", "benchmark.validation_fraction=0.2"]
    shift = [
        "language_shift=parallel",
        "data@language_shift.data=jsonl",
        f"language_shift.data.path={own_data}",
    ]
    shift += ["language_shift.data.validation_fraction=0.2"]
    for name, overrides in (("without", []), ("with", shift)):
        outcome = command("evaluate", "model=tiny", *parallel, *overrides, f"hydra.run.dir={tmp_path / name}")
        assert outcome.status == 0, outcome
    without, found = metrics_of(tmp_path / "without"), metrics_of(tmp_path / "with")
    about = found.pop("language_shift")
    for key, value in about.pop("without").items():
        assert value == without[key]
    assert about["pivot"] == "en"
    assert about["pairs"].keys() == {"de"}
    assert found["multilingual"] != without["multilingual"]
    refused(command, "evaluate", "model=tiny", *parallel, *shift, "language_shift.pivot=xx", says="pivot=xx")
    nowhere = "language_shift.data.path=/nowhere"
    refused(
        command, "evaluate", "model=tiny", *parallel, *shift, nowhere, says=f"error: {nowhere} does not exist"
    )


def test_option_that_a_refused_benchmark_names_makes_it_evaluate(command: Command, tmp_path: Path) -> None:
    data = write_own_data(tmp_path / "numbers", rows=12)
    file = data / "de.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["passage_id"] = "the only one"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    evaluate = [
        *("evaluate", "model=tiny", "benchmark=parallel", f"benchmark.path={data}"),
        *(
            "benchmark.validation_fraction=0.9",
            "benchmark.languages=[de]",
            f"hydra.run.dir={tmp_path / 'run'}",
        ),
    ]

    refusal = refused(command, *evaluate, says=["another text", "passage_variants=first"])
    option = next(word for word in refusal.split() if "passage_variants" in word)
    outcome = command(*evaluate, option)

    assert outcome.status == 0, outcome
    assert metrics_of(tmp_path / "run")["counts"]["candidates"] == {"de": 1}


def test_trec_files_give_the_numbers_of_metrics_json(
    command: Command, benchmarks: Path, tmp_path: Path
) -> None:
    outcome = command(
        *("evaluate", "model=tiny", "benchmark=beir", f"paths.benchmarks={benchmarks}", "trec.write=true"),
        f"hydra.run.dir={tmp_path}",
    )
    assert outcome.status == 0, outcome
    metrics, trec = metrics_of(tmp_path), tmp_path / "trec"
    with (trec / "qrels" / "cross_lingual" / "de-sw.qrels").open() as file:
        qrels = pytrec_eval.parse_qrel(file)
    with (trec / "runs" / "cross_lingual" / "de-sw.trec").open() as file:
        run = pytrec_eval.parse_run(file)
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"map", "ndcg_cut.10"}).evaluate(run)
    for theirs, ours in (("map", "map"), ("ndcg_cut_10", "ndcg@10")):
        mean = np.mean([of[theirs] for of in scores.values()])
        assert metrics["per_pair"]["de"]["sw"][ours] == pytest.approx(mean, abs=1e-6)


def test_corpora_with_every_kind_of_search(command: Command, benchmarks: Path, tmp_path: Path) -> None:
    options = ("model=tiny", "benchmark=miracl", f"benchmark.path={benchmarks / 'miracl'}")
    for index in ("exact", "flat", "hnsw"):
        folder = tmp_path / index
        outcome = command("evaluate", *options, f"index={index}", f"hydra.run.dir={folder}")
        assert outcome.status == 0, outcome
        metrics = metrics_of(folder)
        about = metrics.pop("index")
        assert metrics["monolingual"].keys() == {"ndcg@10", "recall@100"}
        assert metrics["counts"]["candidates"] == {"ar": 12, "sw": 12}
        assert about["ar"]["type"] == index
        if index == "exact":
            exact = metrics
        else:
            assert about["ar"]["recall@10"] == 1
            assert metrics["monolingual"] == exact["monolingual"]
    refused(command, "evaluate", *options, "language_shift=parallel", says=["language_shift", "miracl"])
    refused(command, "evaluate", *options, "benchmark.depth=10", says=["depth=10", "recall@100"])


def test_training_refuses_a_benchmark_it_cannot_rank(
    command: Command, benchmarks: Path, own_data: Path, tmp_path: Path
) -> None:
    refused(
        command,
        *("train", "data=jsonl", f"data.path={own_data}", "benchmark=miracl"),
        *(f"benchmark.path={benchmarks / 'miracl'}", f"hydra.run.dir={tmp_path / 'run'}"),
        says=["benchmark=miracl", "hybrid-retrieval evaluate"],
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["beir", "miracl"])
def test_two_processes_evaluate_as_one(
    benchmarks: Path, tmp_path: Path, command_cache: Path, benchmark: str
) -> None:
    environment = {**os.environ, "HYBRID_RETRIEVAL_CACHE": str(command_cache), "OMP_NUM_THREADS": "1"}
    verb = ["-m", "hybrid_retrieval", "evaluate", "model=tiny", "device=cpu", f"benchmark={benchmark}"]
    verb += [f"benchmark.path={benchmarks / benchmark}", "keep_embeddings=false"]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--no-python"]
    for name, launch in (("one", []), ("two", [*torchrun, sys.executable])):
        folders = [f"paths.cache={tmp_path / 'cache' / name}", f"hydra.run.dir={tmp_path / name}"]
        done = subprocess.run(
            [sys.executable, *launch, *verb, *folders],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("metrics.json") == 1
    assert metrics_of(tmp_path / "one") == metrics_of(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} <= {"one", "two", "cache"}
