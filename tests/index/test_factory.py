import logging
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.chunks import ArrayVectors
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.factory import fill_factory, lists_for, open_index
from hybrid_retrieval.index.faiss_index import FaissIndex
from hybrid_retrieval.index.recall import measure_recall

FILES = sorted((config_folder() / "index").glob("*.yaml"))
NAMES = [file.stem for file in FILES]


def configuration(name: str, **settings: object) -> DictConfig:
    """As Hydra composes it: a setting that the file does not have is refused."""
    cfg = OmegaConf.load(config_folder() / "index" / f"{name}.yaml")
    OmegaConf.set_struct(cfg, True)
    for key, value in settings.items():
        OmegaConf.update(cfg, key, value)
    assert isinstance(cfg, DictConfig)
    return cfg


def corpus(rows: int, dimension: int = 32, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((25, dimension))[generator.integers(25, size=rows)]
    vectors = vectors + 0.3 * generator.standard_normal((rows, dimension))
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def test_there_is_a_file_for_every_kind() -> None:
    assert NAMES == ["exact", "factory", "flat", "hnsw", "ivf", "ivfpq"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_a_search_that_finds(name: str) -> None:
    if name != "exact":
        pytest.importorskip("faiss", reason="needs FAISS: pip install 'hybrid-retrieval[cpu]'")
    cfg = configuration(name, **({"factory": "SQ8"} if name == "factory" else {}))
    assert cfg.name == name
    vectors, queries = ArrayVectors(corpus(3_000)), corpus(50, seed=1)
    search = open_index(cfg, vectors)
    assert isinstance(search, ExactSearch if name == "exact" else FaissIndex)
    assert measure_recall(search, vectors, queries)["recall@10"] > 0.9
    itself = search.search(vectors.embeddings[:200], 100)[1]
    assert (itself == np.arange(200)[:, None]).any(axis=1).mean() > 0.95


def test_settings_reach_the_index(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="needs FAISS: pip install 'hybrid-retrieval[cpu]'")
    vectors = ArrayVectors(corpus(1_000))
    settings = {"nlist": 20, "nprobe": 3, "train_size": 800, "seed": 4, "folder": str(tmp_path)}
    index = open_index(configuration("ivf", **settings), vectors)
    assert isinstance(index, FaissIndex)
    assert (index.spec.factory, index.spec.train_size, index.spec.seed) == ("IVF20,Flat", 800, 4)
    assert index._index.nprobe == 3
    assert "load" in open_index(configuration("ivf", **settings), vectors).seconds  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the index is"):
        open_index(configuration("ivf", **{**settings, "nlist": 10}), vectors)
    other = open_index(configuration("ivf", **settings), ArrayVectors(corpus(1_000, seed=1)))
    assert "load" not in other.seconds  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_factory_without_its_string_is_refused() -> None:
    with pytest.raises(UserError, match=r"'index\.factory=\"IVF4096,PQ48x4fs,RFlat\"'"):
        open_index(configuration("factory"), ArrayVectors(corpus(10)))


@pytest.mark.parametrize(
    ("count", "lists"),
    [
        (1, 1),
        (77, 1),
        (78, 2),
        (1_000, 16),  # 126 wanted, 25 allowed
        (10_000, 256),  # 400 wanted and nearer to 512, 256 allowed
        (100_000, 1_024),  # 1,265
        (1_000_000, 4_096),  # 4,000
        (33_000_000, 16_384),  # 22,978
    ],
)
def test_number_of_lists(count: int, lists: int) -> None:
    assert lists_for(count) == lists


def test_number_of_lists_follows_the_rule() -> None:
    for count in np.unique(np.geomspace(39, 1e9, 400).astype(int)).tolist():
        lists = lists_for(count)
        assert lists & (lists - 1) == 0
        assert lists * 39 <= count
        wanted = 4 * count**0.5
        assert lists <= wanted * 2**0.5 * (1 + 1e-12)
        assert lists * 2**0.5 * (1 + 1e-12) >= wanted or lists * 2 * 39 > count


@pytest.mark.parametrize(
    ("template", "dimension", "filled"),
    [
        ("IVF{nlist},Flat", 384, "IVF16,Flat"),
        ("IVF{nlist},PQ{dimension/4}x4fs,RFlat", 384, "IVF16,PQ96x4fs,RFlat"),
        ("PQ{dimension/4}", 1_024, "PQ256"),
        ("PQ{dimension/4}", 50, "PQ10"),  # 12 does not divide 50
        ("PQ{dimension/8}", 7, "PQ1"),
        ("OPQ48,IVF4096_HNSW32,PQ48", 384, "OPQ48,IVF4096_HNSW32,PQ48"),
    ],
)
def test_numbers_are_filled_in(template: str, dimension: int, filled: str) -> None:
    assert fill_factory(template, 1_000, dimension) == filled


def test_a_given_number_of_lists(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fill_factory("IVF{nlist},Flat", 1_000, 384, nlist=25) == "IVF25,Flat"
        assert not caplog.text
        assert fill_factory("IVF{nlist},Flat", 1_000, 384, nlist=26) == "IVF26,Flat"
    assert "1000 embeddings are few for index.nlist=26" in caplog.text


@pytest.mark.parametrize(
    ("template", "nlist", "says"),
    [
        ("IVF{nlist},Flat", 1_001, "index.nlist=1001 is not possible: it takes 1 to 1000"),
        ("IVF{nlist},Flat", 0, "index.nlist=0 is not possible"),
        ("IVF64,Flat", 32, "index.nlist=32 has no place in index.factory='IVF64,Flat'"),
        ("IVF{lists},Flat", None, "{lists} is unknown; known are {nlist} and {dimension/4}"),
        ("PQ{dimension/0}", None, "{dimension/0} is unknown"),
    ],
)
def test_what_does_not_fit_is_refused(template: str, nlist: int | None, says: str) -> None:
    with pytest.raises(UserError) as error:
        fill_factory(template, 1_000, 384, nlist=nlist)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nprobe", "many"),
        ("nlist", 2.5),
        ("train_size", 0),
        ("seed", -1),
        ("k_factor", True),
        ("recall_queries", -1),
    ],
)
def test_settings_that_are_no_whole_numbers_are_refused(name: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"index\.{name}={value} must be a whole number of at least"):
        open_index(configuration("ivfpq", **{name: value}), ArrayVectors(corpus(10)))
