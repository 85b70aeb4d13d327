import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.index.chunks import ArrayVectors, fingerprint_of
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.language_shift import LanguageShift, ShiftedVectors
from tests.evaluation.synthetic import random_benchmark


def normalised(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def random_shift(dimension: int = 12, *, renormalise: bool = True) -> LanguageShift:
    generator = np.random.default_rng(3)
    offsets = {code: generator.standard_normal(dimension).astype(np.float32) for code in ("de", "th")}
    return LanguageShift("en", offsets, {"de": 5, "th": 7}, renormalise)


def documents(count: int = 200, dimension: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    codes = np.array(["de", "en", "th", "fi"])[generator.integers(4, size=count)]
    return normalised(generator.standard_normal((count, dimension))), codes


def test_by_hand() -> None:
    german = np.array([[1, 0], [0, 1]], dtype=np.float32)
    english = np.array([[0, 1], [-1, 0]], dtype=np.float32)
    shift = LanguageShift.estimate({"de": (german, english)}, pivot="en")
    # The differences are (1, -1) and (1, 1).
    np.testing.assert_array_equal(shift.offsets["de"], [1, 0])
    assert shift.pairs == {"de": 2}

    found = np.array([[0, 2], [3, 0], [0, 2]], dtype=np.float32)
    moved = LanguageShift.estimate({"de": (german, english)}, renormalise=False).apply(
        found, ["de", "de", "en"]
    )
    np.testing.assert_array_equal(moved, [[-1, 2], [2, 0], [0, 2]])
    scaled = shift.apply(found, ["de", "de", "en"])
    expected = np.array([[-2 / 5**0.5, 4 / 5**0.5], [3, 0], [0, 2]])
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)


def parallel_world(
    seed: int,
) -> tuple[Benchmark, dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Meaning in some dimensions, the language in others; all documents equally long.

    Gives a benchmark, the offset of each language, the meanings of its queries and of its candidates (none
    with an offset), and meanings of other passages.
    """
    generator = np.random.default_rng(seed)
    benchmark = random_benchmark(seed, languages=3, groups=12, extra=0, complete=True)
    of_group = generator.standard_normal((12, 8))

    def meanings(ids: list[str]) -> np.ndarray:
        groups = [int(name.split(":")[1].split("-")[0]) for name in ids]
        noise = 0.7 * generator.standard_normal((len(ids), 8))
        return np.hstack([normalised(of_group[groups] + noise), np.zeros((len(ids), 4), dtype=np.float32)])

    directions = 1.5 * normalised(generator.standard_normal((3, 4)))
    offsets = {
        code: np.concatenate([np.zeros(8), direction])
        for code, direction in zip(benchmark.languages, directions, strict=True)
    }
    others = np.hstack([normalised(generator.standard_normal((30, 8))), np.zeros((30, 4))])
    return benchmark, offsets, meanings(benchmark.query_ids), meanings(benchmark.candidate_ids), others


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_become_those_without_offsets(seed: int, renormalise: bool) -> None:
    benchmark, offsets, queries, candidates, others = parallel_world(seed)
    codes = np.array(benchmark.languages)[benchmark.candidate_language]
    query_codes = np.array(benchmark.languages)[benchmark.query_language]
    biased_queries = normalised(queries + np.stack([offsets[code] for code in query_codes]))
    biased = normalised(candidates + np.stack([offsets[code] for code in codes]))
    pairs = {
        code: (normalised(others + offset), normalised(others + offsets["en"]))
        for code, offset in offsets.items()
    }
    shift = LanguageShift.estimate(pairs, pivot="en", renormalise=renormalise)
    shifted = shift.apply(biased, codes)

    without = evaluate_embeddings(queries, candidates, benchmark).metrics
    before = evaluate_embeddings(biased_queries, biased, benchmark).metrics
    after = evaluate_embeddings(biased_queries, shifted, benchmark).metrics
    assert before["language_bias"]["rank_distance"] > without["language_bias"]["rank_distance"]
    assert before["multilingual"]["map"] < without["multilingual"]["map"]
    for part in ("monolingual", "cross_lingual", "multilingual", "language_bias"):
        assert after[part] == pytest.approx(without[part], nan_ok=True)


def test_documents_of_the_pairs_move_onto_their_translations() -> None:
    generator = np.random.default_rng(0)
    passages, translations = (generator.standard_normal((40, 12)).astype(np.float32) for _ in range(2))
    shift = LanguageShift.estimate({"de": (passages, translations)}, renormalise=False)
    moved = shift.apply(passages, ["de"] * 40)
    np.testing.assert_allclose(moved.mean(axis=0), translations.mean(axis=0), atol=1e-6)


def test_estimate_is_a_mean_of_differences() -> None:
    """The order of the pairs plays no part, nor what both sides have in common."""
    generator = np.random.default_rng(0)
    passages, translations, common = (generator.standard_normal((40, 12)) for _ in range(3))
    expected = (passages - translations).mean(axis=0)
    order = generator.permutation(40)
    for one, other in [
        (passages, translations),
        (passages[order], translations[order]),
        (passages + common, translations + common),
    ]:
        shift = LanguageShift.estimate({"de": (one.astype(np.float32), other.astype(np.float32))})
        np.testing.assert_allclose(shift.offsets["de"], expected, atol=1e-6)


def test_pivot_and_languages_without_pairs_get_no_offset(caplog: pytest.LogCaptureFixture) -> None:
    some, none = np.ones((3, 4), dtype=np.float32), np.ones((0, 4), dtype=np.float32)
    shift = LanguageShift.estimate({"en": (some, some), "th": (none, none), "de": (some, 2 * some)})
    assert list(shift.offsets) == ["de"]
    assert shift.without_offset(["th", "de", "en", "fi"]) == ["fi", "th"]

    found = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        moved = shift.apply(found, ["th", "de", "en", "fi"])
    assert "no parallel passages for fi, th" in caplog.text
    assert len(caplog.records) == 1
    np.testing.assert_array_equal(moved[[0, 2, 3]], found[[0, 2, 3]])
    assert not np.allclose(moved[1], found[1])


def test_apply_keeps_lengths_and_its_input() -> None:
    found, codes = documents()
    before = found.copy()
    moved = random_shift().apply(found, codes)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(random_shift().apply(3 * found, codes), axis=1), 3, rtol=1e-6)
    np.testing.assert_array_equal(found, before)


def test_a_document_that_equals_the_offset_stays_finite() -> None:
    shift = random_shift()
    np.testing.assert_array_equal(shift.apply(shift.offsets["de"][None], ["de"]), np.zeros((1, 12)))


@pytest.mark.parametrize("rows", [1, 7, 64, 1_000])
def test_chunks_order_and_neighbours_do_not_matter(rows: int) -> None:
    found, codes = documents()
    shift = random_shift()
    whole = shift.apply(found, codes)
    vectors = ShiftedVectors(ArrayVectors(found), codes, shift)
    assert (len(vectors), vectors.dimension) == found.shape
    chunks = list(vectors.chunks(rows))
    assert max(map(len, chunks)) <= rows
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    order = np.random.default_rng(1).permutation(len(found))
    np.testing.assert_array_equal(shift.apply(found[order], codes[order]), whole[order])


def test_search_over_shifted_vectors_is_search_over_shifted_embeddings() -> None:
    found, codes = documents()
    vectors = ShiftedVectors(ArrayVectors(found), codes, random_shift())
    queries = found[:20]
    for lazy, eager in zip(
        ExactSearch(vectors).search(queries, 10),
        ExactSearch(ArrayVectors(random_shift().apply(found, codes))).search(queries, 10),
        strict=True,
    ):
        np.testing.assert_array_equal(lazy, eager)


def test_fingerprint_of_shifted_vectors(caplog: pytest.LogCaptureFixture) -> None:
    found, codes = documents()
    vectors = ShiftedVectors(ArrayVectors(found), codes, random_shift())
    assert caplog.text.count("no parallel passages for fi") == 1
    list(vectors.chunks(10))
    assert caplog.text.count("no parallel passages for fi") == 1
    other_codes = np.where(codes == "de", "th", codes)
    others = [
        ShiftedVectors(ArrayVectors(found), other_codes, random_shift()),
        ShiftedVectors(ArrayVectors(found), codes, random_shift(renormalise=False)),
        ShiftedVectors(ArrayVectors(found[::-1]), codes, random_shift()),
        ShiftedVectors(ArrayVectors(found), codes, LanguageShift("en", {}, {})),
    ]
    assert len({fingerprint_of(of) for of in [vectors, *others]} | {fingerprint_of(ArrayVectors(found))}) == 6
    assert fingerprint_of(ShiftedVectors(ArrayVectors(found), codes, random_shift())) == vectors.fingerprint


def test_shapes_that_do_not_fit() -> None:
    found, codes = documents()
    with pytest.raises(UserError, match="offsets have 12 dimensions, the embeddings 11"):
        random_shift().apply(found[:, :-1], codes)
    with pytest.raises(ValueError, match="languages for embeddings"):
        random_shift().apply(found, codes[:-1])
    with pytest.raises(ValueError, match=r"\(199,\) languages for 200 embeddings"):
        ShiftedVectors(ArrayVectors(found), codes[:-1], random_shift())
    with pytest.raises(ValueError, match="de: passages have shape"):
        LanguageShift.estimate({"de": (found, found[:-1])})
    with pytest.raises(ValueError, match="differ in dimension"):
        LanguageShift.estimate({"de": (found, found), "th": (found[:, :3], found[:, :3])})
    broken = found.copy()
    broken[17, 2] = np.nan
    with pytest.raises(UserError, match="passages in 'de' hold NaN or infinity, the first at position 17"):
        LanguageShift.estimate({"de": (broken, found)})


def test_a_saved_shift_does_the_same(tmp_path: Path) -> None:
    found, codes = documents()
    shift = LanguageShift("en", random_shift().offsets, {"de": 5, "th": 7}, False, "my model")
    shift.save(tmp_path / "shift.safetensors")
    loaded = LanguageShift.load(tmp_path / "shift.safetensors")
    np.testing.assert_array_equal(loaded.apply(found, codes), shift.apply(found, codes))
    assert loaded.about() == shift.about() == {
        "pivot": "en", "pairs": {"de": 5, "th": 7}, "renormalise": False, "model": "my model"
    }  # fmt: skip
    json.dumps(shift.about())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "another", "text"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "shift.safetensors"
    random_shift().save(file)
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "another":
        save_file({"weight": np.ones(3, dtype=np.float32)}, file)
    else:
        file.write_bytes({"empty": b"", "truncated": content[:-5], "text": b"hello" * 50}[damage])
    with pytest.raises(UserError, match="Estimate the offsets again") as error:
        LanguageShift.load(file)
    assert str(file) in str(error.value)
