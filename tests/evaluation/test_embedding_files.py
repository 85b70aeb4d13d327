from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedding_files import EmbeddingFiles, read_embeddings
from hybrid_retrieval.evaluation.evaluate import evaluate, evaluate_embeddings
from tests.evaluation.synthetic import exact_embeddings, random_benchmark

Writer = Callable[[Path, list[str], np.ndarray], Path]


def write_npz(base: Path, ids: list[str], embeddings: np.ndarray) -> Path:
    np.savez(base.with_suffix(".npz"), ids=np.array(ids, dtype=str), embeddings=embeddings)
    return base.with_suffix(".npz")


def write_compressed(base: Path, ids: list[str], embeddings: np.ndarray) -> Path:
    np.savez_compressed(base.with_suffix(".npz"), ids=np.array(ids, dtype=str), embeddings=embeddings)
    return base.with_suffix(".npz")


def write_npy(base: Path, ids: list[str], embeddings: np.ndarray) -> Path:
    np.save(base.with_suffix(".npy"), embeddings)
    base.with_suffix(".ids.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
    return base.with_suffix(".npy")


def write_parquet(base: Path, ids: list[str], embeddings: np.ndarray) -> Path:
    vectors = pa.array(list(embeddings), type=pa.list_(pa.from_numpy_dtype(embeddings.dtype)))
    pq.write_table(
        pa.table({"id": ids, "embedding": vectors}), base.with_suffix(".parquet"), row_group_size=3
    )
    return base.with_suffix(".parquet")


def write_fixed_size(base: Path, ids: list[str], embeddings: np.ndarray) -> Path:
    width = embeddings.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), width)
    pq.write_table(pa.table({"id": ids, "embedding": vectors}), base.with_suffix(".parquet"))
    return base.with_suffix(".parquet")


FORMS: list[Writer] = [write_npz, write_compressed, write_npy, write_parquet, write_fixed_size]


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_evaluation_equals_that_of_the_arrays(tmp_path: Path, write: Writer, dtype: type) -> None:
    benchmark = random_benchmark(3)
    queries = exact_embeddings(1, len(benchmark.query_ids))
    candidates = exact_embeddings(2, len(benchmark.candidate_ids))
    order = np.random.default_rng(0).permutation(len(candidates))
    files = EmbeddingFiles(
        queries=write(
            tmp_path / "q.x", [*benchmark.query_ids, "más"], np.vstack([queries, queries[:1]]).astype(dtype)
        ),
        candidates=write(
            tmp_path / "c.x", [benchmark.candidate_ids[i] for i in order], candidates[order].astype(dtype)
        ),
    )
    found = evaluate(files, benchmark, progress=False)
    expected = evaluate_embeddings(queries, candidates, benchmark)
    assert found.per_query.equals(expected.per_query)
    assert found.metrics["model"] == f"{files.files['query'].name} + {files.files['passage'].name}"
    assert files.embed(["más"], [""], "query").dtype == np.float32


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "good", ["a", "b"], np.eye(2, 4, dtype=np.float32))


def refusal(tmp_path: Path, good: Path, bad: Path, ids: tuple[str, ...] = ("a",)) -> str:
    """The message about a bad file of candidates, which must name it."""
    with pytest.raises(UserError) as caught:
        EmbeddingFiles(queries=good, candidates=bad).embed(ids, [""] * len(ids), "passage")
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_ids_are_counted_and_the_first_is_named(tmp_path: Path, good: Path) -> None:
    message = refusal(tmp_path, good, good, ("a", "x", "b", "y"))
    assert "no embedding for 2 of the benchmark's 4 candidates" in message
    assert "'x'" in message


def test_repeated_ids(tmp_path: Path, good: Path) -> None:
    bad = write_npy(tmp_path / "bad", ["a", "b", "b"], np.eye(3, 4))
    assert "'b' occurs more than once" in refusal(tmp_path, good, bad)


def test_nan_counts_only_where_it_is_asked_for(tmp_path: Path, good: Path) -> None:
    vectors = np.eye(4, 4, dtype=np.float32)
    vectors[1, 2], vectors[2, 0] = np.nan, np.inf
    bad = write_parquet(tmp_path / "bad", ["a", "b", "c", "d"], vectors)
    assert "2 of 3 embeddings hold NaN or infinity, first that of 'b'" in refusal(
        tmp_path, good, bad, ("a", "b", "c")
    )
    files = EmbeddingFiles(queries=good, candidates=bad)
    np.testing.assert_array_equal(files.embed(["d", "a"], ["", ""], "passage"), vectors[[3, 0]])


def test_dimensions_differ(tmp_path: Path, good: Path) -> None:
    bad = write_npz(tmp_path / "bad", ["a"], np.ones((1, 3), dtype=np.float32))
    assert "of 4 dimensions" in refusal(tmp_path, good, bad)


def test_counts_differ(tmp_path: Path, good: Path) -> None:
    bad = write_npy(tmp_path / "bad", ["a"], np.eye(2, 4))
    assert "1 ids, but 2 embeddings" in refusal(tmp_path, good, bad)


def _lists(values: list[list[float] | None], ids: pa.Array | None = None) -> pa.Table:
    return pa.table({"id": ids or pa.array([str(i) for i in range(len(values))]), "embedding": values})


@pytest.mark.parametrize(
    ("table", "part"),
    [
        (_lists([[1.0, 2.0], [1.0]]), "'1' has 1 dimensions, the first 2"),
        (_lists([[1.0], None]), "1 ids or embeddings are null"),
        (_lists([[1.0], [None]]), "holds a null"),  # type: ignore[list-item]
        (_lists([[1.0]], pa.array([7])), "not text"),
        (pa.table({"id": ["a"], "embedding": [1.0]}), "not a list"),
        (pa.table({"id": ["a"], "embedding": [["x"]]}), "floats of shape"),
        (pa.table({"identity": ["a"], "embedding": [[1.0]]}), "'id'"),
    ],
)
def test_parquet_of_another_form(tmp_path: Path, good: Path, table: pa.Table, part: str) -> None:
    pq.write_table(table, tmp_path / "bad.parquet")
    assert part in refusal(tmp_path, good, tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"ids": np.array(["a"], dtype=object), "embeddings": np.ones((1, 4))}, "allow_pickle=False"),
        ({"ids": np.array([1]), "embeddings": np.ones((1, 4))}, "dtype=str"),
        ({"ids": np.array(["a"]), "embeddings": np.ones(4)}, "floats of shape"),
        ({"ids": np.array(["a"]), "embeddings": np.ones((1, 4), dtype=np.int64)}, "int64"),
        ({"ids": np.array(["a"]), "vectors": np.ones((1, 4))}, "embeddings"),
    ],
)
def test_npz_of_another_form(tmp_path: Path, good: Path, arrays: dict[str, np.ndarray], part: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    assert part in refusal(tmp_path, good, tmp_path / "bad.npz")


@pytest.mark.parametrize("name", ["bad.npz", "bad.parquet", "bad.npy", "bad.csv"])
def test_damaged_missing_and_foreign_files(tmp_path: Path, good: Path, name: str) -> None:
    assert "NAME.ids.txt" in refusal(tmp_path, good, tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing of the kind")
    (tmp_path / "bad.ids.txt").write_text("a\n")
    assert "NAME.ids.txt" in refusal(tmp_path, good, tmp_path / name)


@pytest.mark.parametrize("write", FORMS)
def test_truncated_files(tmp_path: Path, good: Path, write: Writer) -> None:
    path = write(tmp_path / "bad", [f"id {i}" for i in range(50)], np.ones((50, 4), dtype=np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    assert "cannot be read" in refusal(tmp_path, good, path)


def test_ids_without_their_file(tmp_path: Path, good: Path) -> None:
    np.save(tmp_path / "bad.npy", np.eye(2, 4))
    with pytest.raises(UserError, match=r"bad\.ids\.txt: no such file"):
        EmbeddingFiles(queries=good, candidates=tmp_path / "bad.npy")


def test_ids_keep_their_spaces_and_line_ends_of_windows(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.eye(3, 4, dtype=np.float16))
    (tmp_path / "e.ids.txt").write_bytes("a b\r\n\u2028c \r\nd".encode())
    ids, embeddings = read_embeddings(tmp_path / "e.npy")
    assert ids == ["a b", "\u2028c ", "d"]
    assert isinstance(embeddings, np.memmap)
