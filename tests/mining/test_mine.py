"""Mining against a plain loop, what is excluded, the rules, and drawing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.mining import nearest as nearest_module
from hybrid_retrieval.mining.mine import Mined, mine
from hybrid_retrieval.mining.settings import MiningSettings
from tests.data.memory_reader import RowsByLanguage, opened, row
from tests.mining.corpora import DIMENSION, LANGUAGES, RandomEmbedder, by_plain_loop, gappy_corpus

ALL = MiningSettings(k=5, range_max=12, relative_margin=None)


def lists(mined: Mined) -> list[list[int]]:
    return [[n for n in of if n >= 0] for of in mined.negatives.tolist()]


@pytest.mark.parametrize("aggregate", ["max", "mean"])
@pytest.mark.parametrize("setting", ["monolingual", "cross_lingual", "multilingual"])
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"range_min": 3, "k": 9},
        {"margin": 0.1, "max_score": 0.7},
        {"relative_margin": 0.05, "candidates": "corpus"},
    ],
    ids=["all", "shifted", "absolute", "relative"],
)
def test_equals_a_plain_loop(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    aggregate: str,
    rules: dict[str, object],
) -> None:
    # Tiles so small that the corpus takes several.
    monkeypatch.setattr(nearest_module, "TRIPLE_TILE", 7)
    monkeypatch.setattr(nearest_module, "CANDIDATE_TILE", 5)
    settings = replace(ALL, setting=setting, aggregate=aggregate, **rules)  # type: ignore[arg-type]
    corpus = gappy_corpus(tmp_path / "corpus")

    mined = mine(corpus, RandomEmbedder(), settings)

    expected = by_plain_loop(corpus, settings)
    assert lists(mined) == [negatives for _, negatives in expected]
    np.testing.assert_allclose(mined.positive_scores, [own for own, _ in expected], atol=1e-6)
    assert any(negatives for _, negatives in expected)


def test_positive_without_a_pair_of_languages_is_scored_in_its_own(tmp_path: Path) -> None:
    rows: RowsByLanguage = {"de": [row("de", 0), row("de", 1)], "en": [row("en", 1), row("en", 2)]}
    corpus = opened(rows, tmp_path / "corpus")["train"]
    embedder = RandomEmbedder()

    mined = mine(corpus, embedder, replace(ALL, setting="cross_lingual"))

    number = corpus.row_ids(np.arange(3)).index("r0")
    own = embedder.vector("query", "de question 0") @ embedder.vector("passage", "de passage 0")
    assert mined.positive_scores[number] == pytest.approx(own, abs=1e-6)
    assert by_row(mined)["r0"] == sorted(
        ["p1", "p2"],
        key=lambda p: (
            -embedder.vector("query", "de question 0") @ embedder.vector("passage", f"en passage {p[1]}")
        ),
    )


def by_row(mined: Mined) -> dict[str, list[str]]:
    """The negatives by row id, of questions with one positive."""
    found = {row_id: negatives for (row_id, _), negatives in mined.by_pair().items()}
    assert len(found) == len(mined.queries)
    return found


def special() -> RowsByLanguage:
    """Row 1 asks the question of row 0, in German alone; passage 2 has passage 0's text, in English alone."""
    made: RowsByLanguage = {}
    for language in LANGUAGES:
        rows = [row(language, i, split="train") for i in range(8)]
        if language == "de":
            rows[1] = replace(rows[1], question="de  question 0 ")
        if language == "en":
            rows[2] = replace(rows[2], passage="en passage\n0")
        # A validation question with the text of row 3.
        rows.append(row(language, 8, split="validation", question=f"{language} question 3"))
        rows[5] = replace(rows[5], negatives=("p6", "p7"))
        made[language] = rows
    return made


@pytest.mark.parametrize("setting", ["monolingual", "cross_lingual", "multilingual"])
def test_exclusions_hold_in_every_language(tmp_path: Path, setting: str) -> None:
    corpus = opened(special(), tmp_path / "corpus")["train"]
    settings = MiningSettings(
        k=9,
        range_max=9,
        relative_margin=None,
        candidates="corpus",
        setting=setting,  # type: ignore[arg-type]
    )

    found = {name: set(ids) for name, ids in by_row(mine(corpus, RandomEmbedder(), settings)).items()}

    everything = {f"p{i}" for i in range(9)}
    assert found["r0"] == everything - {"p0", "p1", "p2"}
    assert found["r1"] == everything - {"p0", "p1", "p2"}
    assert found["r2"] == everything - {"p0", "p2"}
    assert found["r3"] == everything - {"p3", "p8"}
    assert found["r4"] == everything - {"p4"}
    assert found["r5"] == everything - {"p5"}
    assert mine(corpus, RandomEmbedder(), settings).statistics["excluded"] == {
        "positive": 8,
        "same_question": 3,
        "duplicate_text": 3,
        "existing": 0,
    }


def test_candidates_of_the_split_are_no_validation_passages(tmp_path: Path) -> None:
    corpus = opened(special(), tmp_path / "corpus")["train"]
    settings = MiningSettings(k=9, range_max=9, relative_margin=None)

    found = by_row(mine(corpus, RandomEmbedder(), settings))

    assert set(found["r4"]) == {f"p{i}" for i in range(8) if i != 4}


def test_existing_negatives_are_not_mined_again(tmp_path: Path) -> None:
    corpus = opened(special(), tmp_path / "corpus")["train"]
    settings = MiningSettings(k=9, range_max=9, relative_margin=None, keep_existing=True)

    found = by_row(mine(corpus, RandomEmbedder(), settings))

    assert set(found["r5"]) == {"p0", "p1", "p2", "p3", "p4"}


def test_languages_of_both_sides_can_be_chosen(tmp_path: Path) -> None:
    corpus = gappy_corpus(tmp_path / "corpus")
    embedder = RandomEmbedder()

    mined = mine(corpus, embedder, ALL, languages=["th", "de"])

    assert mined.languages == ("de", "th")
    assert {identity.partition(":")[0] for call in embedder.calls for identity in call} == {"de", "th"}
    assert mined.statistics["found"]["by_passage_language"].keys() == {"de", "th"}


def test_drawn_negatives_depend_on_the_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = gappy_corpus(tmp_path / "corpus")
    settings = replace(ALL, sampling="random", k=3)
    drawn = lists(mine(corpus, RandomEmbedder(), settings, seed=1))
    everything = lists(mine(corpus, RandomEmbedder(), replace(ALL, k=12)))

    assert lists(mine(corpus, RandomEmbedder(), settings, seed=2)) != drawn
    monkeypatch.setattr(nearest_module, "TRIPLE_TILE", 3)
    assert lists(mine(corpus, RandomEmbedder(), settings, seed=1)) == drawn
    for few, all_of in zip(drawn, everything, strict=True):
        assert len(few) == len(set(few)) == 3
        assert set(few) <= set(all_of)
    # Drawn evenly: over 32 questions the ranks of 96 draws out of 12 have mean 5.5 (standard error 0.31).
    ranks = [all_of.index(n) for few, all_of in zip(drawn, everything, strict=True) for n in few]
    assert 4.2 < np.mean(ranks) < 6.8


def test_equal_scores_are_ordered_by_passage(tmp_path: Path) -> None:
    class Constant(RandomEmbedder):
        def vector(self, kind: str, text: str) -> np.ndarray:
            return np.ones(DIMENSION, dtype=np.float32)

    corpus = gappy_corpus(tmp_path / "corpus")

    mined = mine(corpus, Constant(), ALL)

    candidates = sorted(set(corpus.positives(np.arange(len(corpus))).tolist()))
    for positive, negatives in zip(mined.positives.tolist(), lists(mined), strict=True):
        assert negatives == [c for c in candidates if c != positive][:5]


def test_statistics_are_those_of_the_negatives(tmp_path: Path) -> None:
    corpus = gappy_corpus(tmp_path / "corpus")
    settings = replace(ALL, relative_margin=0.2)
    mined = mine(corpus, RandomEmbedder(), settings)

    statistics, found = mined.statistics, lists(mined)
    negatives = statistics["negatives"]
    assert negatives["total"] == sum(map(len, found))
    assert negatives["by_count"] == [sum(len(of) == n for of in found) for n in range(6)]
    assert negatives["share_with_k"] == pytest.approx(np.mean([len(of) == 5 for of in found]))
    everywhere = [
        all(corpus.passage_text(code, n) is not None for code in LANGUAGES) for of in found for n in of
    ]
    assert negatives["in_every_language"] == pytest.approx(np.mean(everywhere))
    kept = mined.scores[np.isfinite(mined.scores)]
    assert statistics["score"]["negative"] == pytest.approx(float(kept.mean()), abs=1e-6)
    assert statistics["filtered"].keys() == {"relative_margin"}
    within = len(corpus) * settings.range_max - statistics["filtered"]["relative_margin"]
    assert within == sum(len(of) for of in lists(mine(corpus, RandomEmbedder(), replace(settings, k=12))))
    # The pair of languages where a negative was found gives its score.
    embedder = RandomEmbedder()
    for number, (query, of) in enumerate(zip(mined.queries.tolist(), found, strict=True)):
        for place, negative in enumerate(of):
            x, y = (codes[number, place] for codes in (mined.query_language, mined.passage_language))
            text = corpus.passage_text(LANGUAGES[y], negative)
            assert text is not None
            score = embedder.vector("query", corpus.query_text(LANGUAGES[x], query)) @ embedder.vector(
                "passage", text
            )
            assert score == pytest.approx(mined.scores[number, place], abs=1e-6)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"setting": "all"}, "mine.setting=all"),
        ({"aggregate": "sum"}, "max, mean"),
        ({"sampling": "best"}, "top, random"),
        ({"candidates": "all"}, "split, corpus"),
        ({"k": 0}, "mine.k=0"),
        ({"k": True}, "mine.k=True"),
        ({"range_min": -1}, "mine.range_min=-1"),
        ({"range_min": 45}, "set mine.range_max to 53"),
        ({"margin": -0.1}, "mine.margin=-0.1"),
        ({"relative_margin": "half"}, "mine.relative_margin=half"),
        ({"max_score": float("nan")}, "mine.max_score=nan"),
        ({"keep_existing": 1}, "mine.keep_existing=1"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(UserError) as refusal:
        MiningSettings.of(values)
    assert says in str(refusal.value)


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    corpus = gappy_corpus(tmp_path / "corpus")
    for settings, languages, says in (
        (ALL, ["fr"], "fr: choose data.languages from de, en, th"),
        (ALL, [], "empty list"),
        (replace(ALL, setting="cross_lingual"), ["de"], "mine.setting=monolingual"),
        (replace(ALL, relative_margin=9.0), None, "mine.relative_margin dropped most"),
        (replace(ALL, max_score=-9.0), None, "raise it"),
        (replace(ALL, range_min=40, range_max=50), None, "mine.candidates=corpus"),
    ):
        with pytest.raises(UserError) as refusal:
            mine(corpus, RandomEmbedder(), settings, languages=languages)
        assert says in str(refusal.value)
    empty = type(corpus).open(corpus.folder, "test")
    with pytest.raises(UserError, match="split=test"):
        mine(empty, RandomEmbedder(), ALL)


def test_embeddings_with_nan_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    class Broken(RandomEmbedder):
        def vector(self, kind: str, text: str) -> np.ndarray:
            return np.full(DIMENSION, np.nan if "question 3" in text else 1.0, dtype=np.float32)

    (tmp_path / "scratch").mkdir()
    with pytest.raises(UserError, match="NaN"):
        mine(gappy_corpus(tmp_path / "corpus"), Broken(), ALL, scratch=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
