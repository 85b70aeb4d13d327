import json
import shlex
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.reporting.how_to_repeat import commands, how_to_repeat
from hybrid_retrieval.sweeps.run_record import RunRecord

from .fake_runs import compare_one, write_run


def with_overrides(folder: Path, strategy: str, seed: int, overrides: list[str]) -> Path:
    write_run(folder, strategy, seed)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")
    return folder


def test_seeds_alone_make_one_line(tmp_path: Path) -> None:
    for seed in (1, 2):
        with_overrides(tmp_path / str(seed), "x_y", seed, ["sampler=x_y", f"seed={seed}", "hydra.run.dir=x"])

    (experiment,) = compare_one(tmp_path).experiments

    assert commands(experiment) == ["hybrid-retrieval train --multirun sampler=x_y seed=1,2"]


def test_each_job_of_a_sweep_has_its_own_line(tmp_path: Path) -> None:
    """`sweep` would multiply the jobs again in a multirun, and where it ran does not matter."""
    for seed in (1, 2):
        overrides = [
            "sweep=alpha",
            "sampler=hybrid",
            f"seed={seed}",
            "launcher=slurm",
            "+launcher.partition=a b",
        ]
        with_overrides(tmp_path / str(seed), "hybrid", seed, overrides)

    (experiment,) = compare_one(tmp_path).experiments

    assert commands(experiment) == [
        f"hybrid-retrieval train sweep=alpha sampler=hybrid seed={seed}" for seed in (1, 2)
    ]


def test_runs_of_different_commands_have_a_line_each(tmp_path: Path) -> None:
    with_overrides(tmp_path / "1", "x_y", 1, ["sampler=x_y", "seed=1", "trainer.num_workers=2"])
    with_overrides(tmp_path / "2", "x_y", 2, ["sampler=x_y", "seed=2"])

    (experiment,) = compare_one(tmp_path).experiments

    assert [shlex.split(line)[2:] for line in commands(experiment)] == [
        ["sampler=x_y", "trainer.num_workers=2", "seed=1"],
        ["sampler=x_y", "seed=2"],
    ]


def test_words_that_a_shell_would_split_are_quoted(tmp_path: Path) -> None:
    with_overrides(tmp_path, "x_y", 1, ["sampler=x_y", "data.path=my folder/$x", "seed=1"])

    (experiment,) = compare_one(tmp_path).experiments

    assert shlex.split(commands(experiment)[0])[-2] == "data.path=my folder/$x"


def test_fingerprints_and_hashes_are_told(tmp_path: Path) -> None:
    file = write_run(tmp_path, "x_y", 1) / "metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["run"]["data_fingerprints"] = ["f00d"]
    file.write_text(json.dumps(metrics), "utf-8")
    RunRecord(hash="0123456789ab").write(tmp_path)

    page = how_to_repeat(compare_one(tmp_path))

    assert "f00d" in page
    assert "configuration hash of each run: 0123456789ab" in page
