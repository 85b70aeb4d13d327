"""Every file that outlives a version says its schema; another one is refused with the fix, or not read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from hybrid_retrieval.data import parallel, recipe, token_table
from hybrid_retrieval.data.build import prepare_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.recipe import Recipe
from hybrid_retrieval.data.token_table import TokenTable, write_tokens
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation import embedding_cache
from hybrid_retrieval.evaluation.results import METRICS_FILE, REQUIRED, Results
from hybrid_retrieval.index import language_shift
from hybrid_retrieval.index.faiss_folder import read_contents
from hybrid_retrieval.index.language_shift import LanguageShift
from hybrid_retrieval.index.shard_plan import PLAN_FILE, ShardPlan
from hybrid_retrieval.mining.write import STATISTICS, check_target
from hybrid_retrieval.models.training_record import read_record
from hybrid_retrieval.reporting.runs import find_runs
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord
from hybrid_retrieval.training import checkpoint_file
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, checkpoint_to_resume, write_checkpoint
from tests.conftest import Command
from tests.data.memory_reader import SMALL, MemoryReader
from tests.integration.test_run import trained
from tests.own_data import own_data_overrides

OTHERS = (0, 2, "1", None)


def rewrite(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | values), encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    metrics = dict.fromkeys(REQUIRED) | {"schema": 1}
    Results(metrics, pa.table({"query_id": ["a"]})).write(folder)
    return folder


@pytest.mark.parametrize("schema", OTHERS)
def test_metrics_and_the_queries_beside_them(results: Path, schema: object) -> None:
    """per_query.parquet has the schema of metrics.json, which is written after it."""
    rewrite(results / METRICS_FILE, schema=1)
    assert Results.read(results).per_query.num_rows == 1

    rewrite(results / METRICS_FILE, schema=schema)

    with pytest.raises(UserError, match=r"metrics\.json: has schema .*, not 1\. Evaluate the model again"):
        Results.read(results)


@pytest.mark.parametrize("schema", OTHERS)
def test_compare_refuses_metrics_of_another_version(results: Path, schema: object) -> None:
    rewrite(results / METRICS_FILE, schema=schema)
    with pytest.raises(UserError, match=r"not a metrics\.json of schema 1\. Evaluate"):
        find_runs([results])


@pytest.mark.parametrize("schema", OTHERS)
def test_run_record_of_another_version_is_no_record(tmp_path: Path, schema: object) -> None:
    RunRecord("0" * 12).write(tmp_path)
    assert RunRecord.read(tmp_path) is not None

    rewrite(tmp_path / RUN_RECORD, schema=schema)

    assert RunRecord.read(tmp_path) is None


def test_model_folder(command: Command, own_data: Path, tmp_path: Path) -> None:
    """What trained it has a schema; the model itself is in a format that is not ours."""
    trained(command, own_data, tmp_path / "run")
    model = tmp_path / "run" / "model"
    note = model / "hybrid_retrieval.json"
    assert json.loads(note.read_text(encoding="utf-8")).keys() == {"schema", "run"}

    def evaluated(name: str) -> tuple[int, str]:
        line = [option for option in own_data_overrides(own_data) if option.startswith("benchmark")]
        outcome = command("evaluate", f"model={model}", *line, f"hydra.run.dir={tmp_path / name}")
        return outcome.status, outcome.err

    first = json.loads(note.read_text(encoding="utf-8"))
    note.write_text(json.dumps({"run": first["run"]}), encoding="utf-8")  # as the first version wrote it
    assert evaluated("older")[0] == 0
    metrics = json.loads((tmp_path / "older" / METRICS_FILE).read_text(encoding="utf-8"))
    assert metrics["run"] == first["run"]

    note.write_text(json.dumps(first | {"schema": 2}), encoding="utf-8")
    status, message = evaluated("newer")
    assert status == 2
    assert "hybrid_retrieval.json has schema 2" in message
    assert "delete the file" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("content", ["[]", "3", '{"schema": 1}', '{"run": '])
def test_damaged_note_in_a_model_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "hybrid_retrieval.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"hybrid_retrieval\.json is damaged .* Delete it"):
        read_record(tmp_path)


def test_mined_set_of_another_version_is_read_as_rows_and_may_be_replaced(tmp_path: Path) -> None:
    """Its rows are JSON lines, which `data=jsonl` reads; mining.json is for people."""
    (tmp_path / STATISTICS).write_text('{"schema": 2}', encoding="utf-8")
    (tmp_path / "de.jsonl").write_text('{"id": "1", "question": "q", "passage": "p"}\n', encoding="utf-8")
    check_target(tmp_path)


def test_embeddings_of_another_format_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed again: the format is a part of the key."""
    settings = {"model": 1}
    before = embedding_cache.cache_key(settings, [b"text"])
    assert before == embedding_cache.cache_key(settings, [b"text"])
    monkeypatch.setattr(embedding_cache, "FORMAT", embedding_cache.FORMAT + 1)
    assert before != embedding_cache.cache_key(settings, [b"text"])


@pytest.mark.parametrize("schema", OTHERS)
def test_index_folder(tmp_path: Path, schema: object) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"schema": schema}), encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json: (damaged|schema)"):
        read_contents(tmp_path, "index")


def test_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is in the seal at its end; what was written before there were seals is read."""
    file = tmp_path / LAST_CHECKPOINT
    torch.save({"global_step": 1}, file)
    assert checkpoint_to_resume(tmp_path) == file

    monkeypatch.setattr(checkpoint_file, "SCHEMA", 2)
    write_checkpoint({"global_step": 1}, file)
    assert checkpoint_to_resume(tmp_path) == file

    monkeypatch.undo()
    with pytest.raises(UserError, match=r"has schema 2, .* reads 1: go on with the version that wrote"):
        checkpoint_to_resume(tmp_path)


@pytest.mark.parametrize("schema", OTHERS)
def test_prepared_corpus(tmp_path: Path, schema: object) -> None:
    folder = prepare_corpus(MemoryReader(SMALL), tmp_path)
    rewrite(folder / parallel.MANIFEST, schema=schema)
    with pytest.raises(UserError, match=r"prepared with schema .*, this version reads 1\. Delete .* prepare"):
        ParallelCorpus.open(folder, "train")


def test_cached_corpus_of_another_version_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Recipe("own", "0", ("de", "en"), 0.1, ())
    before = asked.fingerprint
    monkeypatch.setattr(recipe, "SCHEMA", 2)
    assert asked.fingerprint != before


@pytest.mark.parametrize("schema", OTHERS)
def test_token_sequences(tmp_path: Path, schema: object) -> None:
    """The cache makes them again."""
    write_tokens(tmp_path, [[[1, 2], None]], vocabulary=3)
    assert len(TokenTable(tmp_path)) == 2

    rewrite(tmp_path / token_table.MANIFEST, schema=schema)

    with pytest.raises(UserError, match=r"schema .* instead of 1\). Delete it; it is made again"):
        TokenTable(tmp_path)


def test_language_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "offsets.safetensors"
    monkeypatch.setattr(language_shift, "SCHEMA", 2)
    LanguageShift("en", {"de": np.zeros(2, np.float32)}, {"de": 1}).save(file)
    assert LanguageShift.load(file).pairs == {"de": 1}

    monkeypatch.undo()
    with pytest.raises(UserError, match=r"schema 2, this version reads 1\. Estimate the offsets again"):
        LanguageShift.load(file)


def test_embeddings_in_shards_of_another_form(tmp_path: Path) -> None:
    """`corpus.json` has no schema: a folder is used for what it is claimed for, field by field, alone."""
    plan = ShardPlan("model", 4, ("0",), rows=4)
    plan.claim(tmp_path)
    (tmp_path / PLAN_FILE).write_text(json.dumps({"of": "another version"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus\.json is damaged .* Delete .* and encode anew"):
        plan.claim(tmp_path)
