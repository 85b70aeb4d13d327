"""Every configuration file composes with the verbs it is for, and leaves nothing unresolved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.cli import VERBS
from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.data.sets import data_sets
from hybrid_retrieval.models.backbones import BackboneSpec
from hybrid_retrieval.training.check_options import check_options
from tests.data.published import PUBLISHED

CONF = config_folder()
INCLUDED = ("command", "data_settings")  # in other files, and chosen by nobody
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name not in INCLUDED)
USED_BY: dict[str, tuple[str, ...]] = {
    "data": ("train", "prepare", "mine"),
    "backbone": ("train", "prepare"),
    "benchmark": ("train", "evaluate", "prepare"),
    "index": ("evaluate",),
    "language_shift": ("evaluate",),
    "projection": ("export",),
}
USED_BY["paths"] = tuple(VERBS)
CHOICES = [(group, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield


def composed(verb: str, *overrides: str) -> DictConfig:
    cfg = compose(verb, list(overrides), return_hydra_config=True)
    OmegaConf.resolve(cfg.hydra.help)
    del cfg.hydra
    OmegaConf.resolve(cfg)
    assert not OmegaConf.missing_keys(cfg)
    return cfg


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_configuration_and_a_help_page(verb: str) -> None:
    hydra = compose(verb, return_hydra_config=True).hydra

    assert hydra.help.app_name == f"hybrid-retrieval {verb}"
    assert f"hybrid-retrieval {verb}" in hydra.help.template
    composed(verb)


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=[f"{group}={choice}" for group, choice in CHOICES])
def test_every_choice_composes(group: str, choice: str) -> None:
    for verb in USED_BY.get(group, ("train",)):
        cfg = composed(verb, f"{group}={choice}")
        if verb == "train":
            check_options(_with_paths(cfg))


def _with_paths(cfg: DictConfig) -> DictConfig:
    """A user gives different folders for data and benchmark."""
    cfg.data.path = "train"
    return cfg


SAMPLERS = [choice for group, choice in CHOICES if group == "sampler"]
DATA = [choice for group, choice in CHOICES if group == "data"]


@pytest.mark.parametrize(
    ("sampler", "data"), [*((sampler, "world_facts") for sampler in SAMPLERS), *(("hybrid", d) for d in DATA)]
)
def test_choices_fit_together(sampler: str, data: str) -> None:
    check_options(
        _with_paths(composed("train", f"sampler={sampler}", f"data={data}", "trainer=gpu", "debug=fast"))
    )


@pytest.mark.parametrize("group", GROUPS)
def test_a_choice_that_does_not_exist_is_refused(group: str) -> None:
    with pytest.raises(MissingConfigException, match=f"Could not find '{group}/nonsense'"):
        compose(USED_BY.get(group, ("train",))[0], [f"{group}=nonsense"])


@pytest.mark.parametrize("name", [choice for group, choice in CHOICES if group == "sampler"])
def test_sampler_file_is_named_after_its_strategy(name: str) -> None:
    assert composed("train", f"sampler={name}").sampler.name == name


@pytest.mark.parametrize("name", [choice for group, choice in CHOICES if group == "backbone"])
def test_backbone_file_is_a_spec_of_its_name(name: str) -> None:
    mapping: dict[str, Any] = OmegaConf.to_container(composed("train", f"backbone={name}").backbone)  # type: ignore[assignment]
    assert BackboneSpec.from_mapping(mapping).name == name


@pytest.mark.parametrize("name", [choice for group, choice in CHOICES if group == "data"])
def test_data_file_names_readers_and_their_options(name: str, tmp_path: Path) -> None:
    for one in data_sets(composed("train", f"data={name}").data):
        folder = tmp_path / one.reader
        if one.reader in PUBLISHED:
            PUBLISHED[one.reader](folder)
        path = None if one.reader == "world_facts" else str(folder)
        # The corpus of MIRACL may be of the hub; in the folder it lies beside the topics.
        options = {**one.options, **({"corpus": None} if one.reader == "miracl_train" else {})}
        assert make_reader(one.reader, path, one.languages, **options).languages()


def test_all_data_files_have_the_same_settings() -> None:
    """So that every setting can be given on the command line, whatever the data."""
    settings = {
        name: set(composed("train", f"data={name}").data) for group, name in CHOICES if group == "data"
    }
    assert len({frozenset(names) for names in settings.values()}) == 1


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    for file in CONF.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        assert not any(place in text for place in ("/home/", "/root/", "/work/", "/Users/", "C:\\")), file
