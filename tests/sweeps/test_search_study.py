"""The trials of a search in their journal: what is drawn, wherever it was killed, and which are best."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.search import next_batch
from hybrid_retrieval.sweeps.search_objectives import Objective
from hybrid_retrieval.sweeps.search_settings import SearchSettings
from hybrid_retrieval.sweeps.search_space import Choice, Interval, SearchSpace, Value
from hybrid_retrieval.sweeps.search_study import JOURNAL, SearchStudy, Trial

pytest.importorskip("optuna")

SPACE = SearchSpace(
    (
        Interval("optim.lr", 1e-6, 1e-4, log=True),
        Interval("global_batch_size", 8, 64, step=8, whole=True),
        Choice("sampler", ("hybrid", "x_y")),
    ),
    (),
)
ONE = (Objective("val/map_multilingual", "maximize"),)
TWO = (*ONE, Objective("val/rank_distance", "minimize"))


def study_in(folder: Path, settings: SearchSettings, objectives: Sequence[Objective] = TWO) -> SearchStudy:
    folder.mkdir(exist_ok=True)
    return SearchStudy(folder, SPACE, objectives, settings, {})


def values_of(trial: Trial, count: int) -> list[float]:
    lr, batch = float(trial.params["optim.lr"]), float(trial.params["global_batch_size"])
    quality = -(math.log10(lr) ** 2) + (trial.params["sampler"] == "hybrid")
    return [quality, batch * quality][:count]


def go_on(study: SearchStudy, settings: SearchSettings) -> Iterator[list[Trial]]:
    """The batches of a search whose every third trial fails."""
    while batch := next_batch(study, settings):
        yield batch
        for trial in batch:
            if trial.position % 3 == 1:
                study.tell_failed(trial, f"run{trial.position}", "out of memory")
            else:
                study.tell(trial, f"run{trial.position}", values_of(trial, len(study.directions)))


def drawn(study: SearchStudy) -> list[tuple[str, dict[str, Value], tuple[float, ...], str | None]]:
    return [(one.state, dict(one.params), one.values, one.reason) for one in study.trials()]


@pytest.mark.parametrize(
    ("sampler", "n_jobs", "objectives"), [("tpe", 1, TWO), ("tpe", 2, ONE), ("nsgaii", 1, TWO)]
)
def test_a_search_cut_at_any_line_of_its_journal_draws_the_same_trials(
    tmp_path: Path, sampler: str, n_jobs: int, objectives: Sequence[Objective]
) -> None:
    settings = SearchSettings(trials=5, n_jobs=n_jobs, sampler=sampler, startup=2, seed=3)
    whole = study_in(tmp_path / "whole", settings, objectives)
    sizes = [len(batch) for batch in go_on(whole, settings)]
    assert sizes == ([1] * 5 if n_jobs == 1 else [2, 2, 1])
    expected = drawn(whole)
    lines = (tmp_path / "whole" / JOURNAL).read_bytes().splitlines(keepends=True)

    for number in range(1, len(lines), 3):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        (folder / JOURNAL).write_bytes(b"".join(lines[:number]) + lines[number][:9])
        study = study_in(folder, settings, objectives)
        list(go_on(study, settings))
        assert drawn(study) == expected, f"cut after line {number}: {lines[number]!r}"


def test_the_sampler_learns_and_the_seed_counts(tmp_path: Path) -> None:
    found = {}
    for sampler, seed in itertools.product(("tpe", "random"), (1, 2)):
        settings = SearchSettings(trials=24, sampler=sampler, startup=6, seed=seed)
        study = study_in(tmp_path / f"{sampler}{seed}", settings, ONE)
        while batch := next_batch(study, settings):
            study.tell(batch[0], "run", values_of(batch[0], 1))
        found[sampler, seed] = [one.values[0] for one in study.trials()]

    for seed in (1, 2):
        assert found["tpe", seed][:6] == found["random", seed][:6]  # the random start
        assert mean(found["tpe", seed][12:]) > mean(found["random", seed]) + 1
    assert found["tpe", 1] != found["tpe", 2]


def test_trials_of_a_batch_differ_and_more_trials_go_on(tmp_path: Path) -> None:
    settings = SearchSettings(trials=5, n_jobs=4, startup=2)
    study = study_in(tmp_path, settings)
    batches = list(go_on(study, settings))
    assert [[one.position for one in batch] for batch in batches] == [[0, 1, 2, 3], [4]]
    assert len({str(one.params) for one in study.trials()}) == 5
    before = drawn(study)

    more = SearchSettings(trials=9, n_jobs=4, startup=2)
    study = study_in(tmp_path, more)

    assert [[one.position for one in batch] for batch in go_on(study, more)] == [[5, 6, 7], [8]]
    assert drawn(study)[:5] == before


def test_a_failed_trial_runs_again_in_its_place(tmp_path: Path) -> None:
    settings = SearchSettings(trials=3)
    study = study_in(tmp_path, settings)
    list(go_on(study, settings))
    failed = study.trials()[1]
    assert (failed.state, failed.reason, failed.folder) == ("failed", "out of memory", "run1")

    study.ask_again(failed)
    again = study_in(tmp_path, settings)

    assert [one.state for one in again.trials()] == ["complete", "open", "complete"]
    [[trial]] = [next_batch(again, settings)]
    assert (trial.position, trial.params) == (1, failed.params)
    again.tell(trial, "run1", [1e9, -1e9])
    assert next_batch(again, settings) == []
    assert [one.position for one in again.best()] == [1]


@pytest.mark.parametrize("objectives", [ONE, TWO])
def test_best_is_what_optuna_says(tmp_path: Path, objectives: Sequence[Objective]) -> None:
    import optuna  # noqa: PLC0415
    from optuna.storages.journal import JournalFileBackend, JournalStorage  # noqa: PLC0415

    settings = SearchSettings(trials=12)
    study = study_in(tmp_path, settings, objectives)
    list(go_on(study, settings))

    storage = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
    best = optuna.load_study(study_name=None, storage=storage).best_trials
    assert {one.number for one in study.best()} == {one.number for one in best}
    firsts = [one.values[0] for one in study.best()]
    assert firsts == sorted(firsts, reverse=True)


def test_all_failed_ends_after_five(tmp_path: Path) -> None:
    settings = SearchSettings(trials=30)
    study = study_in(tmp_path, settings)
    while batch := next_batch(study, settings):
        study.tell_failed(batch[0], "run", "no")
    assert [one.state for one in study.trials()] == ["failed"] * 5


def test_another_search_in_the_folder_is_refused(tmp_path: Path) -> None:
    settings = SearchSettings(trials=2)
    study_in(tmp_path, settings)
    study_in(tmp_path, SearchSettings(trials=3, n_jobs=2))
    with pytest.raises(UserError, match=r"objectives: .* before.*hydra\.sweep\.dir"):
        study_in(tmp_path, settings, ONE)
    for other in (SearchSettings(seed=2), SearchSettings(sampler="random")):
        with pytest.raises(UserError, match="holds another search"):
            study_in(tmp_path, other)
    with pytest.raises(UserError, match="space"):
        SearchStudy(tmp_path, SearchSpace(SPACE.dimensions[:2], ()), TWO, settings, {})


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    settings = SearchSettings(trials=2)
    list(go_on(study_in(tmp_path, settings), settings))
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:3], b"{torn\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"search\.journal is damaged .*Remove it"):
        study_in(tmp_path, settings)
