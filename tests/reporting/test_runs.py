import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.terms.registry import TEACHER, TERMS
from hybrid_retrieval.reporting.experiments import group_runs
from hybrid_retrieval.reporting.runs import STRATEGY_ORDER, TERMS_WITH_TEACHER, find_runs

from .fake_runs import SKILLS, write_run, write_study


def test_finds_every_run_below_a_multirun_folder_once(study: Path) -> None:
    runs = find_runs([study, study / "hybrid-2"])

    assert len(runs) == 1 + 3 * (len(SKILLS) - 1)
    assert {run.folder.name for run in runs} == {folder.name for folder in study.iterdir()}


def test_groups_by_strategy_with_untrained_first(study: Path) -> None:
    experiments = group_runs(find_runs([study]))

    assert [e.label for e in experiments] == list(STRATEGY_ORDER)
    assert [e.seeds for e in experiments] == [[]] + [[1, 2, 3]] * (len(SKILLS) - 1)


def test_grouping_does_not_depend_on_the_order_of_the_folders(study: Path) -> None:
    folders = sorted(study.iterdir())

    there, back = group_runs(find_runs(folders)), group_runs(find_runs(folders[::-1]))

    assert [(e.label, [run.folder for run in e.runs]) for e in there] == [
        (e.label, [run.folder for run in e.runs]) for e in back
    ]


def test_alphas_are_experiments_of_their_own_in_numeric_order(tmp_path: Path) -> None:
    for alpha in (0.5, 0.25, 0.1):
        for seed in (1, 2):
            write_run(tmp_path / f"{alpha}-{seed}", "hybrid", seed, alpha=alpha, curves=False)

    experiments = group_runs(find_runs([tmp_path]))

    assert [e.label for e in experiments] == [f"hybrid (alpha={a})" for a in (0.1, 0.25, 0.5)]
    assert all(e.seeds == [1, 2] for e in experiments)


def test_alpha_does_not_split_a_strategy_that_has_none(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, alpha=0.5)
    write_run(tmp_path / "b", "x_y", 2)

    assert [e.label for e in group_runs(find_runs([tmp_path]))] == ["x_y"]


def test_a_setting_outside_the_run_key_splits_and_names_the_experiments(tmp_path: Path) -> None:
    for lr in (1e-5, 2e-5):
        config = {"optim": {"lr": lr}, "trainer": {"devices": 1}, "data": {"path": f"/tmp/{lr}"}}
        write_run(tmp_path / str(lr), "x_y", 1, config=config)

    labels = [e.label for e in group_runs(find_runs([tmp_path]))]

    assert labels == ["x_y (lr=1e-05)", "x_y (lr=2e-05)"]


def test_where_a_run_ran_does_not_split_an_experiment(tmp_path: Path) -> None:
    for seed, devices in ((1, 1), (2, 4)):
        config = {"trainer": {"devices": devices, "default_root_dir": f"/tmp/{seed}"}, "seed": seed}
        write_run(tmp_path / str(seed), "x_y", seed, config=config)

    assert len(group_runs(find_runs([tmp_path]))) == 1


def test_one_seed_twice_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "first", "x_y", 1)
    write_run(tmp_path / "second", "x_y", 1)

    with pytest.raises(
        UserError, match=r"first and .*second are the same experiment with the same seed \(1\)"
    ):
        group_runs(find_runs([tmp_path]))


def test_a_model_evaluated_elsewhere_keeps_its_training_folder(tmp_path: Path) -> None:
    trained = write_run(tmp_path / "trained", "x_y", 1)
    elsewhere = write_run(tmp_path / "eval", "x_y", 1, model=str(trained / "model"), curves=False)

    (run,) = find_runs([elsewhere])

    assert run.training_folder == trained


def test_no_run_names_the_folder_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=re.escape(str(tmp_path)) + r": no metrics\.json.*hybrid-retrieval train"
    ):
        find_runs([tmp_path])
    with pytest.raises(UserError, match="no such folder"):
        find_runs([tmp_path / "absent"])


def test_broken_metrics_name_file_and_line(tmp_path: Path) -> None:
    file = write_run(tmp_path / "run") / "metrics.json"
    whole = json.loads(file.read_text(encoding="utf-8"))

    file.write_text('{"schema": 1,\n"model": "hal', encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(str(file)) + ", line 2: not valid JSON"):
        find_runs([tmp_path])
    file.write_text(json.dumps(whole | {"schema": 2}), encoding="utf-8")
    with pytest.raises(UserError, match="schema 1"):
        find_runs([tmp_path])
    file.write_text(json.dumps({k: v for k, v in whole.items() if k != "per_pair"}), encoding="utf-8")
    with pytest.raises(UserError, match="no per_pair"):
        find_runs([tmp_path])


def test_one_benchmark_can_be_chosen(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, benchmark="xquad_r")
    write_run(tmp_path / "b", "x_y", 2, benchmark="world_facts", questions=9)
    write_run(tmp_path / "a" / "mlqa_r", "x_y", 1, benchmark="mlqa_r")

    assert [run.folder.name for run in find_runs([tmp_path], "xquad_r")] == ["a"]
    with pytest.raises(UserError, match="The runs found are on mlqa_r, world_facts, xquad_r"):
        find_runs([tmp_path], "miracl")


def test_untrained_backbones_are_told_apart_by_name(tmp_path: Path) -> None:
    write_study(tmp_path / "one", ("untrained",), model="first")
    write_study(tmp_path / "two", ("untrained",), model="/models/second")
    assert [e.label for e in group_runs(find_runs([tmp_path]))] == ["untrained (first)", "untrained (second)"]

    write_study(tmp_path / "three", ("untrained",), model="/other/second")
    assert len({e.label for e in group_runs(find_runs([tmp_path]))}) == 3


def test_a_setting_that_is_off_is_as_one_that_an_earlier_version_did_not_have(tmp_path: Path) -> None:
    """But an alpha of 0 is a number, and what is on differs."""
    off = {"data": {"dedup": False, "licence": None, "drop": [], "only": {}}, "optim": {"lr": 2e-5}}
    write_run(tmp_path / "old", "hybrid", 1, alpha=0.0, config={"optim": {"lr": 2e-5}})
    write_run(tmp_path / "new", "hybrid", 2, alpha=0.0, config=off)
    (experiment,) = group_runs(find_runs([tmp_path]))
    assert experiment.seeds == [1, 2]
    assert experiment.runs[0].settings["alpha"] == "0.0"

    write_run(
        tmp_path / "on", "hybrid", 3, alpha=0.0, config={"data": {"dedup": True}, "optim": {"lr": 2e-5}}
    )
    assert len(group_runs(find_runs([tmp_path]))) == 2


def labels_of(folder: Path, configs: list[dict[str, Any]]) -> list[str]:
    """Labels of x_y runs with these configurations, in their order."""
    for number, config in enumerate(configs):
        write_run(folder / str(number), "x_y", 1, config=config, curves=False)
    label_of = {e.runs[0].folder.name: e.label for e in group_runs(find_runs([folder]))}
    return [label_of[str(number)] for number in range(len(configs))]


def term(name: str, weight: float, temperature: float, **loss: Any) -> dict[str, Any]:
    options = {"distillation": {"temperature": 0.05}, "score_agreement": {"temperature": 0.05}}
    weights = {"distillation": 0.0, "score_agreement": 0.0, name: weight}
    return {"loss": {"terms": weights, "term_options": options | {name: {"temperature": temperature}}} | loss}


def test_terms_are_named_where_they_have_a_weight(tmp_path: Path) -> None:
    labels = labels_of(
        tmp_path,
        [
            term("distillation", 0.0, 0.01, teacher_language="de"),
            term("distillation", 1.0, 0.02, teacher_language="en", teacher="initial"),
            term("score_agreement", 0.5, 0.03, teacher_language="de"),
        ],
    )

    assert labels == [
        "x_y",
        "x_y (distillation=1.0)",
        "x_y (score_agreement=0.5)",
    ]


@pytest.mark.parametrize("section", ["loss.reverse", "data.hard_negatives"])
def test_what_is_off_at_0_is_named_only_where_it_is_on(tmp_path: Path, section: str) -> None:
    group, _, name = section.partition(".")

    assert labels_of(tmp_path, [{group: {name: 0}}, {group: {name: 2}}]) == ["x_y", f"x_y ({name}=2)"]


def test_options_of_a_term_are_named_where_they_differ(tmp_path: Path) -> None:
    labels = labels_of(
        tmp_path,
        [
            term("distillation", 1.0, 0.02),
            term("distillation", 1.0, 0.03, teacher_language="en"),
            term("distillation", 1.0, 0.03, teacher_language="de"),
            term("score_agreement", 1.0, 0.07),
        ],
    )

    assert labels == [
        "x_y (temperature=0.02, distillation=1.0)",
        "x_y (teacher_language=en, temperature=0.03, distillation=1.0)",
        "x_y (teacher_language=de, temperature=0.03, distillation=1.0)",
        "x_y (score_agreement=1.0)",
    ]


def test_options_of_a_term_that_is_off_do_not_split_an_experiment(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "x_y", 1, config=term("distillation", 0.0, 0.01))
    write_run(tmp_path / "b", "x_y", 2, config=term("distillation", 0.0, 0.02, teacher="initial"))

    assert [e.seeds for e in group_runs(find_runs([tmp_path]))] == [[1, 2]]


def test_a_lost_configuration_does_not_name_all_that_others_have(tmp_path: Path) -> None:
    """As of a model that was exported into another folder and evaluated there."""
    for name in ("distillation", "score_agreement"):
        config = term(name, 1.0, 0.02) | {"optim": {"lr": 1e-5}}
        write_run(tmp_path / name, "x_y", 1, config=config, curves=False)
    lost = write_run(tmp_path / "exported", "x_y", 1, curves=False)
    shutil.rmtree(lost / ".hydra")

    assert sorted(e.label for e in group_runs(find_runs([tmp_path]))) == [
        "x_y",
        "x_y (distillation=1.0)",
        "x_y (score_agreement=1.0)",
    ]


def test_the_terms_with_a_teacher_are_those_of_the_registry() -> None:
    found = {name for name, term in TERMS.items() if set(term.needed({})) & set(TEACHER)}

    assert set(TERMS_WITH_TEACHER) == found


def test_long_values_are_named_only_where_nothing_shorter_tells_runs_apart(tmp_path: Path) -> None:
    few, many = (
        {"data": {"sets": [f"set-{letter}" for letter in letters]}} for letters in ("ab", "abcdefgh")
    )
    slow = many | {"optim": {"lr": 1e-5}}

    assert labels_of(tmp_path / "apart", [few, slow]) == ["x_y", "x_y (lr=1e-05)"]
    assert labels_of(tmp_path / "unset", [{"data": {}}, many]) == [
        "x_y",
        "x_y (sets=[set-a, set-b, set-c, set-d, set-e, set-f, set-g, set-h])",
    ]
    assert labels_of(tmp_path / "alike", [few, many, slow]) == [
        "x_y (sets=[set-a, set-b])",
        "x_y",
        "x_y (lr=1e-05)",
    ]


def test_when_a_run_validated_tells_it_apart_only_if_that_chose_its_model(tmp_path: Path) -> None:
    for seed, interval in ((1, 50), (2, 100)):
        trainer = {"val_check_interval": interval}
        write_run(tmp_path / "last" / str(seed), "x_y", seed, config={"trainer": trainer})
        best = trainer | {"monitor": "val/loss"}
        write_run(tmp_path / "best" / str(seed), "x_y", seed, config={"trainer": best})

    assert [e.seeds for e in group_runs(find_runs([tmp_path / "last"]))] == [[1, 2]]
    assert [e.label for e in group_runs(find_runs([tmp_path / "best"]))] == [
        "x_y (val_check_interval=50)",
        "x_y (val_check_interval=100)",
    ]
