"""What a batch plan would train on: counts equal a recount, texts are those of the pairs."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.reporting.batches import batch_table, count_batches
from hybrid_retrieval.reporting.figures import batch_types, languages_that_meet, save
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import STRATEGIES, make_strategy
from tests.losses import dual_encoder_parts
from tests.sampling.sources import complete

from .test_report import Page

LANGUAGES = ("de", "en", "th")
STEPS = 30


def plan_of(strategy: str, **options: Any) -> BatchPlan:
    sources = [complete(100, LANGUAGES), complete(60, LANGUAGES, name="second")]
    return BatchPlan(sources, make_strategy(strategy, **options), LANGUAGES, 8, seed=4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_counts_equal_a_recount(strategy: str) -> None:
    plan = plan_of(strategy)
    counts = count_batches(plan, STEPS)

    pairs: Counter[tuple[int, int]] = Counter()
    sources: Counter[str] = Counter()
    for step in range(STEPS):
        batch = plan[step]
        assert counts.kinds[step] == batch.kind
        languages = list(zip(batch.query_languages.tolist(), batch.passage_languages.tolist(), strict=True))
        assert counts.in_one_language[step] == all(x == y for x, y in languages)
        pairs.update(languages)
        sources.update(plan.sources[owner].name for owner in batch.row_datasets().tolist())
    found = {(x, y): int(n) for (x, y), n in np.ndenumerate(counts.pairs) if n}
    assert found == pairs
    assert counts.data_sets == sources
    assert counts.pairs.sum() == STEPS * 8
    assert counts.languages == tuple(plan.languages)


def test_shares_follow_a_schedule() -> None:
    plan = plan_of("hybrid", alpha={"start": 1.0, "end": 0.0, "steps": STEPS}, max_steps=STEPS)
    counts = count_batches(plan, STEPS)

    assert counts.monolingual_share[0] == 1.0
    assert (np.diff(counts.monolingual_share) < 0).all()
    assert counts.in_one_language[0]


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="0 steps"):
        count_batches(plan_of("hybrid"), 0)


def test_figures_show_the_counts(tmp_path: Path) -> None:
    counts = count_batches(plan_of("hybrid"), STEPS)
    types, meeting = batch_types(counts), languages_that_meet(counts)

    strip, course = types.axes
    monolingual = int(counts.in_one_language.sum())
    labels = strip.get_legend_handles_labels()[1]
    assert labels == [f"monolingual, {monolingual} batches", f"cross-lingual, {STEPS - monolingual} batches"]
    so_far, expected = (np.asarray(line.get_ydata()) for line in course.lines)
    assert so_far[-1] == monolingual / STEPS
    np.testing.assert_allclose(expected, 0.5)
    shown = np.asarray(meeting.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, 100 * counts.pairs / counts.pairs.sum())
    for figure in (types, meeting):
        assert save(figure, tmp_path / "x.png").stat().st_size > 1000


def test_a_plan_of_one_type_is_drawn() -> None:
    for strategy in ("x_x_mono", "x_y"):
        counts = count_batches(plan_of(strategy), 3)
        assert len(batch_types(counts).axes) == 2


def test_the_table_holds_the_texts_of_the_pairs_in_their_languages(prepared: Path) -> None:
    plan, corpus = dual_encoder_parts.plan(prepared), dual_encoder_parts.corpus(prepared)
    batch = plan[3]
    table = batch_table(plan, [corpus], 3, pairs=5, width=1000)

    Page(table)
    rows = re.findall(r"<tr><td>.*?</tr>", table)
    assert len(rows) == 5
    for at, row in enumerate(rows):
        triple = batch.triples[at : at + 1]
        asked, answered = (
            plan.languages[own[at]] for own in (batch.query_languages, batch.passage_languages)
        )
        assert re.findall(r'lang="(.*?)"', row) == [asked, answered]
        assert corpus.query_text(asked, int(corpus.queries(triple)[0])) in row
        assert str(corpus.passage_text(answered, int(corpus.positives(triple)[0]))) in row
    assert f"5 of {len(batch)} pairs" in table
    assert "…" in batch_table(plan, [corpus], 3, width=4)
