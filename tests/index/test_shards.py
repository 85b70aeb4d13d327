import hashlib
import json
import logging
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.shard_plan import ShardPlan, passage_bytes
from hybrid_retrieval.index.shards import ShardedVectors, encode_shards, finished_shards, wait_for_shards

PASSAGES = [(f"p{i}", f"text {i}") for i in range(23)]
DIMENSION = 6


def embed(ids: list[str], texts: list[str]) -> np.ndarray:
    """Embeddings that the texts alone decide."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) for text in texts]
    return np.stack([np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]).astype("f4")


def plan_of(
    passages: list[tuple[str, str]] = PASSAGES, *, rows: int = 5, model: str = "m", dtype: str = "float16"
) -> ShardPlan:
    texts = tuple(
        hashlib.sha256(b"".join(passage_bytes(*of) for of in passages[start : start + rows])).hexdigest()
        for start in range(0, len(passages), rows)
    )
    return ShardPlan(model, len(passages), texts, rows=rows, dtype=dtype)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    encode_shards(tmp_path / "corpus", plan_of(), PASSAGES, embed)
    return tmp_path / "corpus"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("rows", [1, 4, 5, 100])
def test_vectors_are_those_of_the_model_in_order(tmp_path: Path, dtype: str, rows: int) -> None:
    encode_shards(tmp_path, plan_of(dtype=dtype), PASSAGES, embed)
    vectors = ShardedVectors(tmp_path)
    chunks = list(vectors.chunks(rows))
    expected = embed([], [text for _, text in PASSAGES]).astype(dtype).astype(np.float32)

    assert (len(vectors), vectors.dimension) == (23, DIMENSION)
    assert all(chunk.dtype == np.float32 and 1 <= len(chunk) <= rows for chunk in chunks)
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    assert vectors.ids(np.array([22, 0, 7, 7])) == ["p22", "p0", "p7", "p7"]


def test_embeddings_can_be_mapped_into_memory(encoded: Path) -> None:
    mapped = np.load(encoded / "shard-00004" / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    assert (mapped.shape, mapped.dtype) == ((3, DIMENSION), np.float16)


@pytest.mark.parametrize("killed_at", range(5))
def test_a_killed_run_keeps_its_shards_and_ends_the_same(
    tmp_path: Path, encoded: Path, killed_at: int
) -> None:
    calls: list[list[str]] = []

    def killed(ids: list[str], texts: list[str]) -> np.ndarray:
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        calls.append(ids)
        return embed(ids, texts)

    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        encode_shards(folder, plan_of(), PASSAGES, killed)
    assert finished_shards(folder, plan_of()) == [shard < killed_at for shard in range(5)]
    with pytest.raises(UserError, match=f"{5 - killed_at} of 5 shards are not encoded yet"):
        ShardedVectors(folder)

    def resumed(ids: list[str], texts: list[str]) -> np.ndarray:
        calls.append(ids)
        return embed(ids, texts)

    encode_shards(folder, plan_of(), PASSAGES, resumed)

    assert [passage_id for ids in calls for passage_id in ids] == [passage_id for passage_id, _ in PASSAGES]
    assert content(folder) == content(encoded)


def test_nothing_is_read_or_encoded_when_all_is_there(encoded: Path) -> None:
    def refuse(ids: list[str], texts: list[str]) -> np.ndarray:
        raise AssertionError(ids)

    encode_shards(encoded, plan_of(), iter([]), refuse)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_any_number_of_processes_gives_the_same_files(tmp_path: Path, encoded: Path, world: int) -> None:
    folder = tmp_path / "several"
    encoded_by: dict[int, list[str]] = {}
    for rank in reversed(range(world)):

        def of_rank(ids: list[str], texts: list[str], rank: int = rank) -> np.ndarray:
            encoded_by.setdefault(rank, []).extend(ids)
            return embed(ids, texts)

        encode_shards(folder, plan_of(), PASSAGES, of_rank, rank=rank, world=world)

    assert content(folder) == content(encoded)
    for rank, ids in encoded_by.items():
        assert ids == [f"p{i}" for i in range(23) if (i // 5) % world == rank]


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_rank_that_does_not_exist_is_refused(tmp_path: Path, rank: int) -> None:
    with pytest.raises(UserError, match="ranks go from 0 to 1"):
        encode_shards(tmp_path, plan_of(), PASSAGES, embed, rank=rank, world=2)


def test_waiting_ends_with_the_last_shard_or_with_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encode_shards(tmp_path, plan_of(), PASSAGES, embed, rank=0, world=2)
    with pytest.raises(UserError, match=r"2 of 5 shards are missing, first shard-00001.* encodes it again"):
        wait_for_shards(tmp_path, plan_of(), poll_seconds=0, patience_seconds=0)

    monkeypatch.setattr(
        "time.sleep", lambda _: encode_shards(tmp_path, plan_of(), PASSAGES, embed, rank=1, world=2)
    )
    with caplog.at_level(logging.INFO):
        wait_for_shards(tmp_path, plan_of())
    assert "waiting for 2 of 5 shards" in caplog.text
    assert len(ShardedVectors(tmp_path)) == 23


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (plan_of(model="other"), r"by another model \(m, not other\)"),
        (plan_of(dtype="float32"), r"as float16 in shards of 5, not as float32 in shards of 5"),
        (plan_of(rows=6), r"as float16 in shards of 5, not as float16 in shards of 6"),
        (plan_of(PASSAGES[:-1]), r"of another corpus or another state of it \(23 passages, not 22\)"),
        (plan_of([*PASSAGES[:-1], ("p22", "changed")]), "of another corpus or another state of it"),
        (plan_of([*PASSAGES[:-1], ("p22t", "ext 22")]), "of another corpus or another state of it"),
    ],
)
def test_embeddings_of_something_else_are_refused_before_anything_is_encoded(
    encoded: Path, plan: ShardPlan, says: str
) -> None:
    before = content(encoded)
    with pytest.raises(UserError, match=rf"corpus\.json: this folder holds embeddings {says}"):
        encode_shards(encoded, plan, PASSAGES, embed)
    assert content(encoded) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def foreign(shard: Path) -> None:
    other = shard.parent.parent / "other"
    encode_shards(other, plan_of(model="other"), PASSAGES, embed)
    shutil.rmtree(shard)
    shutil.copytree(other / shard.name, shard)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda shard: cut(shard / "embeddings.npy"), r"embeddings\.npy has 187 bytes instead of 188"),
        (lambda shard: cut(shard / "ids.json"), r"ids\.json has \d+ bytes instead of"),
        (lambda shard: (shard / "embeddings.npy").unlink(), r"embeddings\.npy has 0 bytes"),
        (lambda shard: (shard / "shard.json").write_text("{"), r"shard\.json cannot be read"),
        (
            lambda shard: (shard / "shard.json").write_text("{}"),
            r"shard\.json does not have the fields bytes",
        ),
        (foreign, r"shard\.json is of another model or of other texts"),
    ],
)
def test_a_damaged_shard_is_named_and_mended_as_the_message_says(
    encoded: Path, damage: Callable[[Path], None], says: str
) -> None:
    before, shard = content(encoded), encoded / "shard-00002"
    damage(shard)
    message = rf"shard-00002/{says}.*delete the folder .*shard-00002 and start the encoding again"
    with pytest.raises(UserError, match=message):
        encode_shards(encoded, plan_of(), PASSAGES, embed)
    with pytest.raises(UserError, match=message):
        ShardedVectors(encoded)

    shutil.rmtree(shard)
    encode_shards(encoded, plan_of(), PASSAGES, embed)
    assert content(encoded) == before


def test_a_shard_replaced_by_another_array_of_the_same_size_is_refused(encoded: Path) -> None:
    path = encoded / "shard-00002" / "embeddings.npy"
    np.save(path, np.zeros((DIMENSION, 5), dtype=np.float16))
    with pytest.raises(UserError, match=r"shard-00002/embeddings\.npy holds float16 \(6, 5\)"):
        list(ShardedVectors(encoded).chunks(10))


def test_a_damaged_or_missing_plan_is_named(encoded: Path, tmp_path: Path) -> None:
    (encoded / "corpus.json").write_text('{"model"', encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus\.json is damaged"):
        ShardedVectors(encoded)
    with pytest.raises(UserError, match="holds no encoded corpus"):
        ShardedVectors(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("value", "dtype", "says"),
    [
        (np.nan, "float32", "NaN or infinity"),
        (np.inf, "float16", "NaN or infinity"),
        (70_000.0, "float16", "beyond float16: store the embeddings as float32"),
    ],
)
def test_numbers_that_cannot_be_stored_are_refused(
    tmp_path: Path, value: float, dtype: str, says: str
) -> None:
    def broken(ids: list[str], texts: list[str]) -> np.ndarray:
        embeddings = embed(ids, texts)
        embeddings[[i == "p7" for i in ids], 3] = value
        return embeddings

    with pytest.raises(UserError, match=rf"the embedding of passage 'p7' holds .*{says}"):
        encode_shards(tmp_path, plan_of(dtype=dtype), PASSAGES, broken)
    assert finished_shards(tmp_path, plan_of(dtype=dtype)) == [True, False, False, False, False]


def test_a_corpus_that_changes_between_the_passes_is_refused(tmp_path: Path) -> None:
    changed = [*PASSAGES[:12], ("p12", "changed"), *PASSAGES[13:]]
    with pytest.raises(UserError, match="changed since it was first read, among the passages 11 to 15"):
        encode_shards(tmp_path, plan_of(), changed, embed)


def test_the_fingerprint_tells_models_and_texts_apart(tmp_path: Path) -> None:
    found = set()
    for number, plan in enumerate([plan_of(), plan_of(), plan_of(model="n"), plan_of(dtype="float32")]):
        encode_shards(tmp_path / str(number), plan, PASSAGES, embed)
        found.add(ShardedVectors(tmp_path / str(number)).fingerprint)
    assert len(found) == 3


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(UserError, match="float16 or float32, not as 'int8'"):
        plan_of(dtype="int8")
    with pytest.raises(UserError, match="use 1 or more"):
        ShardPlan("m", 0, (), rows=0)


def test_the_plan_survives_its_file(encoded: Path) -> None:
    assert ShardPlan.read(encoded) == plan_of()
    assert json.loads((encoded / "corpus.json").read_text())["passages"] == 23


def test_a_process_killed_at_any_time_leaves_whole_shards_and_is_continued(
    tmp_path: Path, encoded: Path
) -> None:
    """SIGKILL leaves no time to clean up: what is under a shard's name is whole."""
    folder, plan = tmp_path / "killed", plan_of()

    def slow(ids: list[str], texts: list[str]) -> np.ndarray:
        time.sleep(0.05)
        return embed(ids, texts)

    starts = 0
    while not (folder / "corpus.json").exists() or not all(finished_shards(folder, plan)):
        process = multiprocessing.get_context("fork").Process(
            target=encode_shards, args=(folder, plan, PASSAGES, slow)
        )
        process.start()
        process.join(0.08 + 0.01 * starts)
        process.kill()
        process.join()
        starts += 1

    assert starts > 1
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert sorted(names) == sorted(path.name for path in encoded.iterdir())
    for path in encoded.rglob("*.*"):
        assert path.is_dir() or (folder / path.relative_to(encoded)).read_bytes() == path.read_bytes()
