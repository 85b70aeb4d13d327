"""A data file that is cut under a run kills who reads it (SIGBUS, a real one here): named, with the fix."""

import faulthandler
import json
import mmap
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from hybrid_retrieval.data import step_loader
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.step_loader import StepLoader
from hybrid_retrieval.data.token_table import TokenTable, write_tokens
from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.sweeps import slurm_queue
from hybrid_retrieval.sweeps.slurm_wait import _advice
from hybrid_retrieval.training import local_processes
from hybrid_retrieval.training.lost_process import lost_processes_explained
from hybrid_retrieval.training.mapped_data import MappedData
from tests.own_data import ROWS, write_own_data
from tests.reliability.forked_runs import ForkedRuns
from tests.reliability.test_changed_corpus import FILES, cut, empty, longer, prepare
from tests.reliability.test_exact_resume import Runs, same_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return prepare(write_own_data(folder / "source"), folder / "cache")


@pytest.fixture
def corpus(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "corpus"))


def replaced(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(file.read_bytes()[:10])
    os.replace(new, file)


@pytest.mark.parametrize("fault", [cut, empty])
@pytest.mark.parametrize("name", [name for name in FILES if name != "corpus.json"])
def test_file_that_is_cut_is_named(corpus: Path, name: str, fault: Callable[[Path], None]) -> None:
    data = MappedData([ParallelCorpus.open(corpus, split) for split in ("train", "validation")])
    data.check()
    fault(corpus / name)

    with pytest.raises(UserError) as told:
        data.check()

    assert str(told.value).startswith(f"{corpus / name} was cut while the run read it: ")
    for words in (f"Delete the folder {corpus}", "`hybrid-retrieval prepare`", "resume=auto"):
        assert words in str(told.value)


@pytest.mark.parametrize("change", [longer, replaced, Path.unlink])
def test_what_leaves_the_mapped_file_whole_does_no_harm(corpus: Path, change: Callable[[Path], None]) -> None:
    opened = ParallelCorpus.open(corpus, "train")
    before = [row.question for row in opened.rows("de")]
    data = MappedData([opened])
    for name in FILES:
        change(corpus / name)

    data.check()

    assert [row.question for row in opened.rows("de")] == before


def test_tokens_that_are_cut_are_named(tmp_path: Path) -> None:
    write_tokens(tmp_path, [[[1, 2], None, [3]]], 10)
    data = MappedData([], [TokenTable(tmp_path)])
    data.check()
    cut(tmp_path / "ids.bin")

    with pytest.raises(UserError, match=r"ids\.bin was cut .*: 3 bytes instead of 6\. It is made again when"):
        data.check()


class Loaded(Dataset[str]):
    """What a process that loads data does for an item."""

    def __init__(self, load: Callable[[int], str]) -> None:
        self.load = load

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> str:
        return self.load(row)


def load_in_a_process(load: Callable[[int], str], *callbacks: MappedData) -> None:
    """As a run does."""
    trainer: Any = SimpleNamespace(world_size=1, callbacks=list(callbacks))
    with lost_processes_explained(trainer):
        list(DataLoader(Loaded(load), num_workers=1))


def killed_by_bus_error(error: BaseException | None) -> bool:
    """Whether torch says so, in what an exception was raised from."""
    says = "is killed by signal: Bus error"
    return error is not None and (says in str(error) or killed_by_bus_error(error.__cause__))


def test_loader_process_that_is_killed_by_a_cut_file(corpus: Path) -> None:
    opened = ParallelCorpus.open(corpus, "train")
    opened.query_text("de", 0)  # mapped before it is cut
    data = MappedData([opened])
    file = corpus / "queries" / "de.arrow"
    empty(file)

    with pytest.raises(UserError) as told:
        load_in_a_process(lambda row: opened.query_text("de", row), data)

    assert killed_by_bus_error(told.value)
    assert str(told.value).startswith(f"{file} was cut while the run read it: 0 bytes instead of ")


def test_loader_process_that_gives_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For instance where the file system of the data does not answer: the run ends instead of hanging."""
    monkeypatch.setattr(step_loader, "PATIENCE", 3.0)
    trainer: Any = SimpleNamespace(world_size=1, callbacks=[])
    batches: Any = Loaded(lambda row: time.sleep(60) or "")  # type: ignore[func-returns-value]
    message = r"gave no batch for 0 minutes: .* data\.workers=0\. Go on .* resume=auto"
    with pytest.raises(RunFailedError, match=message), lost_processes_explained(trainer):
        list(StepLoader(batches, ROWS, workers=1))


@pytest.mark.parametrize("torch_says_why", [True, False])
def test_loader_process_that_is_killed_with_all_files_whole(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, torch_says_why: bool
) -> None:
    if not torch_says_why:  # as where Python takes the exit status before torch asks for it
        monkeypatch.setattr(signal_handling, "_error_if_any_worker_fails", lambda: None)

    def die(row: int) -> str:
        os.kill(os.getpid(), signal.SIGBUS)
        return ""

    with pytest.raises(RunFailedError, match=r"Bus error\. The data files are whole") as told:
        load_in_a_process(die, MappedData([ParallelCorpus.open(corpus, "train")]))

    for words in ("/dev/shm", "data.workers", "resume=auto"):
        assert words in str(told.value)


@pytest.mark.parametrize("message", ["x.arrow: damaged. Prepare again.", "x" * 900])
def test_mistake_that_a_loader_process_meets_is_told_without_a_traceback(message: str) -> None:
    def refuse(row: int) -> str:
        raise UserError(message)

    with pytest.raises(UserError) as told:
        load_in_a_process(refuse)

    assert str(told.value) == message


def read_cut(file: Path) -> None:
    faulthandler.disable()  # pytest has it tell of the signal
    with file.open("rb") as opened:
        pages = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    os.truncate(file, 0)
    pages[0]


def test_parent_tells_why_a_rank_was_killed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=read_cut, args=(tmp_path / "file",))
    process.start()
    theirs.close()

    failure = local_processes._received(ours, process, "rank 1 of 2")

    assert process.exitcode == -signal.SIGBUS
    assert isinstance(failure, local_processes._Failure)
    assert failure.killed
    for words in ("rank 1 of 2 (process ", "SIGBUS, probably as a data file was cut while it was read"):
        assert words in failure.message


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (f"{128 + signal.SIGBUS}:0", "It was killed by SIGBUS, probably as a data file was cut"),
        (f"0:{int(signal.SIGBUS)}", "It was killed by SIGBUS, probably as a data file was cut"),
        ("137:0", "It was killed by SIGKILL, perhaps for want of memory. Set launcher.mem_gb higher"),
        ("0:62", "It was killed by signal 62."),
        ("1:0", None),
    ],
)
def test_sweep_tells_why_a_job_of_slurm_was_killed(code: str, says: str | None) -> None:
    advice = _advice(slurm_queue._death("FAILED", code, "00:03:12", "1:00:00", "8G", "node7"))
    assert advice == says if says is None else str(advice).startswith(says)


@pytest.mark.parametrize(
    ("place", "files", "overrides"),
    [
        ("in a step", "corpora/*/*/*.arrow", ("data.workers=1", "data.tokenize_once=false")),
        ("after a step", "tokens/*/ids.bin", ("data.workers=0", "data.tokenize_once=true")),
    ],
    ids=["a loader process", "before a validation"],
)
def test_run_whose_data_are_cut(  # noqa: PLR0917 (fixtures)
    forked: ForkedRuns, own_data: Path, tmp_path: Path, place: str, files: str, overrides: tuple[str, ...]
) -> None:
    """One message; the same line prepares again and goes on, to the end of a run that nobody disturbed."""
    cache = tmp_path / "cache"
    # An epoch of six steps, so that batches are left to load; after step 3 a validation is due.
    runs = Runs(forked, own_data, tmp_path, (*overrides, "global_batch_size=8", f"paths.cache={cache}"))

    ended = runs.start("run", place=place, step=1 if place == "in a step" else 3, cut=str(cache / files))

    assert ended.statuses == [2], ended.output
    assert "Traceback" not in ended.output
    (error,) = (line for line in ended.output.splitlines() if line.startswith("error: "))
    assert error.startswith(f"error: {cache}/{files.partition('/')[0]}/")
    assert " was cut while the run read it: 0 bytes instead of " in error
    assert json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["state"] == "failed"
    whole = runs.whole("run")
    if place == "in a step":
        same_run(whole, runs.whole())
