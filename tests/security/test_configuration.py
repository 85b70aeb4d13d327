"""A configuration runs nothing: whatever names Python to call is refused before Hydra acts on it."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hybrid_retrieval.cli import VERBS
from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.configuration import check_configuration
from tests.conftest import Command
from tests.refusal import refused
from tests.security.malicious import python_code, touch

CALL = "cannot name Python to run"


@pytest.mark.parametrize("verb", VERBS)
def test_no_choice_of_ours_is_refused(verb: str) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        check_configuration(compose(verb, return_hydra_config=True), {})
        if verb == "train":
            for name in ("launcher=slurm", "logger=wandb", "sweep=alpha", "hydra/job_logging=stdout"):
                check_configuration(compose(verb, [name], return_hydra_config=True), {})


@pytest.mark.parametrize(
    "override",
    [
        "+loss._target_=builtins.eval",
        "+data.options._target_=subprocess.run",
        "+x={a:[{b:{_target_:os.system}}]}",
        "+hydra.callbacks.x={_target_:os.system,command:'COMMAND'}",
        "+hydra.callbacks.x={_target_:hydra.utils.get_method,path:os.system}",
        "+hydra.callbacks.x={_target_:hydra.experimental.callbacks.PickleJobInfoCallback}",
        "+hydra.callbacks.x={_target_:hydra.experimental.callbacks.LogJobReturnCallback,y:{_target_:os.getcwd}}",
        "hydra.launcher._target_=os.system",
        "hydra.launcher._target_=hydra_plugins.hybrid_retrieval_plugins.slurm.os.system",
        "+hydra.launcher.x={_target_:os.system,command:'COMMAND'}",
        "hydra.sweeper._target_=subprocess.Popen",
        "+hydra.sweeper.sampler={_target_:os.system,command:'COMMAND'}",
        "+hydra.job_logging.handlers.x={(): os.system, command: 'COMMAND'}",
        "+hydra.job_logging.handlers.x={class: subprocess.Popen, args: 'COMMAND', shell: true}",
        "+hydra.job_logging.formatters.x={class: evil.Formatter}",
        "+hydra.job_logging.handlers.x={class: logging.StreamHandler, stream: 'ext://evil.module'}",
        "+hydra.hydra_logging.handlers.x={(): builtins.exec}",
        "+hydra.job.env_set.LD_PRELOAD=/tmp/evil.so",
        "+hydra.job.env_set.pythonpath=/tmp",
    ],
)
def test_what_names_python_is_refused_and_not_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str
) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"

    refused(
        command,
        "compare",
        override.replace("COMMAND", touch(marker)),
        says=override.split("=", maxsplit=1)[0][1:],
    )

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_to_run_what_a_configuration_names(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)

    target = f"{{_target_:os.system,command:'{touch(tmp_path / 'marker')}'}}"
    refused(command, verb, f"+hydra.callbacks.x={target}", f"+paths.x={target}", says=CALL)

    assert not list(tmp_path.iterdir())


def test_sweeps_and_configuration_folders_are_checked_too(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    marker, folder = tmp_path / "marker", tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    evil = {"_target_": "os.system", "command": touch(marker)}
    (folder / "experiment" / "evil.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump({"hydra": {"callbacks": {"x": evil}}}), encoding="utf-8"
    )
    (folder / "evil.yaml").write_text(
        yaml.safe_dump({"defaults": ["compare", "_self_"], "hydra": {"callbacks": {"x": evil}}})
    )
    decoded = {"x": "${oc.decode:'{_target_: evil_module.f}'}"}
    (folder / "decoded.yaml").write_text(
        yaml.safe_dump({"defaults": ["compare", "_self_"], "hydra": {"callbacks": decoded}})
    )
    (tmp_path / "evil_module.py").write_text(python_code(marker), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for line in (
        ["train", f"hydra.searchpath=[file://{folder}]", "experiment=evil"],
        ["train", "-m", "--config-dir", str(folder), "experiment=evil", "seed=1,2"],
        ["compare", f"--config-dir={folder}", "--config-name=evil"],
        ["train", "-m", "seed=1", "+loss._target_=evil_module.f,evil_module.g"],
        ["compare", "+a=${oc.env:EVIL}", "+hydra.callbacks.x={_target_:'${a}'}"],
        ["compare", "+a={_target_:evil_module.f}", "+hydra.callbacks.x='${a}'"],
        ["compare", f"--config-dir={folder}", "--config-name=decoded"],
    ):
        monkeypatch.setenv("EVIL", "evil_module.f")
        refused(command, *line, says=CALL)
        assert not marker.exists()


def test_a_configuration_is_not_unpickled(command: Command, tmp_path: Path) -> None:
    refused(command, "train", f"--experimental-rerun={tmp_path / 'config.pickle'}", says="no option")
    refused(command, "train", "--experimental-rerun", str(tmp_path / "config.pickle"), says="no option")
    refused(command, "train", "--experimental", str(tmp_path / "config.pickle"), says="no option")


def test_a_configuration_without_end_is_refused(command: Command) -> None:
    refused(command, "train", "+hydra.callbacks.x=${hydra.callbacks}", says="Interpolation to parent node")
    nested: dict[str, object] = {}
    for _ in range(60):
        nested = {"a": nested}
    with pytest.raises(UserError, match="nested too deeply"):
        check_configuration(OmegaConf.create(nested), {})
