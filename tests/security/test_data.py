"""Data of others: scripts are not run, arrays hold no objects, names lead nowhere else."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import MANIFEST, ParallelCorpus, read_manifest
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark, CorpusQuery
from hybrid_retrieval.evaluation.embedding_cache import EmbeddingCache
from hybrid_retrieval.evaluation.embedding_files import EmbeddingFiles
from hybrid_retrieval.index.faiss_folder import SCHEMA, read_index
from hybrid_retrieval.security.checkpoints import read_tensors
from hybrid_retrieval.security.file_names import is_file_name, is_inside
from tests.conftest import Command
from tests.data.memory_reader import SMALL, MemoryReader
from tests.own_data import own_data_overrides
from tests.refusal import refused
from tests.security.malicious import Payload, pickle_bytes, python_code, save_with_torch


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


@pytest.fixture
def objects(marker: Path) -> np.ndarray:
    """An array whose file is a pickle that makes the marker."""
    array = np.empty(1, dtype=object)
    array[0] = Payload(marker)
    return array


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    build_corpus(MemoryReader(SMALL, "small"), folder, needed=())
    return folder


def test_the_payload_would_run(marker: Path, objects: np.ndarray, tmp_path: Path) -> None:
    """What the tests of this folder guard against does happen where nothing guards."""
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert marker.exists()
    marker.unlink()
    torch.load(save_with_torch(tmp_path / "x.pt", marker), weights_only=False)
    assert marker.exists()


def test_the_script_of_a_data_set_is_not_run(command: Command, tmp_path: Path, marker: Path) -> None:
    folder = tmp_path / "evil_set"
    folder.mkdir()
    (folder / "evil_set.py").write_text(python_code(marker), encoding="utf-8")
    (folder / "README.md").write_text("---\nconfigs: []\n---\n", encoding="utf-8")
    line = ["prepare", "data=hub", f"data.path={folder}", "backbone=tiny", "data.options.language=en"]

    refused(command, *line, says="Its script evil_set.py is not run")

    rows = [{"id": i, "question": f"Where is {i}?", "passage": f"On shelf {i}."} for i in range(30)]
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert command(*line).status == 0  # its files are read, as mMARCO's are, which has a script too
    assert not marker.exists()
    assert "evil_set" not in sys.modules


def test_arrays_of_a_corpus_hold_no_objects(
    command: Command, corpus: Path, tmp_path: Path, marker: Path, objects: np.ndarray
) -> None:
    file = corpus / "splits" / "train" / "query.npy"
    np.save(file, objects, allow_pickle=True)
    manifest = json.loads((corpus / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["splits/train/query.npy"] = file.stat().st_size
    (corpus / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(UserError, match=r"query\.npy"):
        ParallelCorpus.open(corpus, "train")
    refused(
        command, "train", "data=prepared", f"data.path={corpus}", "backbone=tiny", "evaluate=false",
        f"hydra.run.dir={tmp_path / 'run'}", says="query.npy",
    )  # fmt: skip

    assert not marker.exists()


@pytest.mark.parametrize("form", ["npy", "npz", "npz of ids", "a pickle called npz"])
def test_files_of_embeddings_hold_no_objects(  # noqa: PLR0917
    command: Command, own_data: Path, tmp_path: Path, marker: Path, objects: np.ndarray, form: str
) -> None:
    file = tmp_path / f"embeddings.{form[:3]}" if form.startswith("np") else tmp_path / "embeddings.npz"
    if form == "npy":
        np.save(file, objects, allow_pickle=True)
        (tmp_path / "embeddings.ids.txt").write_text("a\n", encoding="utf-8")
    elif form == "npz":
        np.savez(file, ids=np.array(["a"]), embeddings=objects)
    elif form == "npz of ids":
        np.savez(file, ids=objects, embeddings=np.zeros((1, 2), dtype=np.float32))
    else:
        file.write_bytes(pickle_bytes(marker))

    with pytest.raises(UserError, match="cannot be read"):
        EmbeddingFiles(queries=file, candidates=file)
    refused(
        command, "evaluate", f"embeddings.queries={file}", f"embeddings.candidates={file}",
        "benchmark=parallel", f"benchmark.path={own_data}", says="cannot be read",
    )  # fmt: skip

    assert not marker.exists()


def test_kept_embeddings_are_not_unpickled(tmp_path: Path, marker: Path, objects: np.ndarray) -> None:
    """A planted entry is passed over as a damaged one."""
    cache = EmbeddingCache(tmp_path)
    cache.write("key", np.ones((1, 4), dtype=np.float32))
    assert cache.read("key", (1, 4)) is not None
    with cache.path("key").open("wb") as file:
        np.lib.format.write_array(file, objects, allow_pickle=True)

    assert cache.read("key", (1, 4)) is None
    assert not marker.exists()


def test_an_index_is_not_unpickled(tmp_path: Path, marker: Path) -> None:
    """Also where a forger has adapted the JSON: FAISS finds no index in it."""
    file = tmp_path / "evil.faiss"
    file.write_bytes(pickle_bytes(marker))
    content = {
        "schema": SCHEMA, "dimension": 4, "vectors": 1, "fingerprint": "0", "spec": {}, "seconds": {},
        "metric": "inner_product", "file": "../evil.faiss", "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.json").write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(UserError, match="missing"):  # of the path, the name alone counts
        read_index(tmp_path / "folder", "x")
    shutil.move(file, tmp_path / "folder" / "evil.faiss")
    with pytest.raises(UserError, match="FAISS"):
        read_index(tmp_path / "folder", "x")
    assert not marker.exists()


def checkpoint(folder: Path, marker: Path) -> Path:
    """`last.ckpt` in the form of Lightning's, with a payload in the state of the optimiser."""
    states = [{"state": {0: {"step": torch.tensor(1.0), "exp_avg": Payload(marker)}}, "param_groups": []}]
    file = folder / "checkpoints" / "last.ckpt"
    return save_with_torch(file, marker, state_dict={}, optimizer_states=states, global_step=1)


def raw_pickle(folder: Path, marker: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    file = folder / "checkpoints" / "last.ckpt"
    file.write_bytes(pickle_bytes(marker))
    return file


@pytest.mark.parametrize("make", [checkpoint, raw_pickle])
@pytest.mark.parametrize("resume", ["true", "auto"])
def test_a_run_does_not_go_on_from_a_pickle(  # noqa: PLR0917
    command: Command, own_data: Path, tmp_path: Path, marker: Path,
    make: Callable[[Path, Path], Path], resume: str,
) -> None:  # fmt: skip
    file = make(tmp_path / "run", marker)
    before = file.read_bytes()

    refused(
        command, "train", *own_data_overrides(own_data), f"resume={resume}", "evaluate=false",
        f"hydra.run.dir={tmp_path / 'run'}", says=["checkpoint", str(tmp_path / "run")],
    )  # fmt: skip

    assert not marker.exists()
    assert before in [path.read_bytes() for path in file.parent.iterdir()]


def test_a_pickle_is_refused_without_the_advice_to_load_it(tmp_path: Path, marker: Path) -> None:
    file = save_with_torch(tmp_path / "x.ckpt", marker, tensor=torch.zeros(2))
    with pytest.raises(
        UserError, match=r"x\.ckpt is not a plain file.*could run code.*Do this\.$"
    ) as refusal:
        read_tensors(file, "Do this.", mapped=True)
    assert "weights_only" not in str(refusal.value)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"x\.ckpt cannot be read: .*Do this\.$"):
        read_tensors(file, "Do this.")
    torch.save({"tensor": torch.ones(2)}, file)
    assert torch.equal(read_tensors(file, "Do this.")["tensor"], torch.ones(2))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../../outside"),
        ("name", "/outside"),
        ("name", "a\x00b"),
        ("name", ".."),
        ("fingerprint", "../x"),
        ("languages", ["../de", "en"]),
        ("files", {"../outside": 1}),
        ("files", {"/etc/passwd": 1}),
        ("files", {"a/../../outside": 1}),
        ("files", {"a\\..\\outside": 1}),
    ],
)
def test_a_corpus_names_no_files_elsewhere(corpus: Path, key: str, value: object) -> None:
    manifest = json.loads((corpus / MANIFEST).read_text(encoding="utf-8")) | {key: value}
    manifest["columns"] = manifest["languages"]
    (corpus / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(UserError, match="names files that no prepared corpus has"):
        read_manifest(corpus)


def test_a_benchmark_names_no_files_elsewhere() -> None:
    queries = (CorpusQuery("q", "text", "../../outside", {"p": 1}),)
    with pytest.raises(UserError, match=r"'\.\./\.\./outside' cannot be part of a file's name"):
        CorpusBenchmark("x", (Collection("pool", lambda: iter(()), queries),), ("map",), "multilingual")


def test_languages_of_a_table_name_no_files_elsewhere(command: Command, tmp_path: Path) -> None:
    rows = [f"{i},../../outside,Where is {i}?,On shelf {i}." for i in range(30)]
    (tmp_path / "table.csv").write_text("\n".join(["id,lang,question,passage", *rows]), encoding="utf-8")

    refused(
        command, "prepare", "data=csv", f"data.path={tmp_path / 'table.csv'}", "backbone=tiny",
        "data.options.columns.language=lang", says="'../../outside' is not the code of a language",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["en", "my faq", "zh-Hant", "a.b", "..a", "Größe", "数据"])
def test_names_of_files(name: str) -> None:
    assert is_file_name(name)
    assert is_inside(f"folder/{name}")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "C:a", "a\nb", "a\x00", None, 3])
def test_names_of_no_files(name: object) -> None:
    assert not is_file_name(name)
    assert not is_inside(f"x/{name}/../../y")
