"""Whether a process that trains for a long time keeps its memory and its files: `make soak`.

    python -m benchmarks.soak --minutes 60 --out DIR

One process carries out rounds of `hybrid-retrieval` until the time is over: a fit and one with GradCache,
each with two loader workers, a checkpoint every five steps, validations that retrieve on a benchmark and an
evaluation at the end; an evaluation of the saved model; a sweep of tiny jobs (-m). A thread looks at the
process every ten seconds and at the end of each round, and writes DIR/samples.csv; DIR/verdict.json and
DIR/soak.png follow. The exit status is 0 only if all is flat (`verdict`).
"""

import argparse
import csv
import json
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import count
from pathlib import Path

import numpy as np

from hybrid_retrieval.cli import run

GROWTH = 0.1
"""MB for each training run: what counts as growth. Libraries keep a little of each run for the process."""
UNCLEAR = 30.0
"""MB an hour: the half interval beyond which nothing can be said."""
RUNS = {"fit": 1, "evaluation": 0, "GradCache": 1, "sweep": 4}
"""Training runs of a round."""
FEWEST = 6
"""Rounds from which something can be said."""

COMMON = (
    *("backbone=tiny", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
    *("global_batch_size=16", "data.workers=2", "data.validation_limit=8", "trainer.log_every_n_steps=5"),
    *("benchmark.limit=40", "benchmark@val_retrieval=world_facts_sample", "val_questions=20"),
    *("trainer.checkpoint_every_n_steps=5", "trainer.monitor=val/map_multilingual"),
)
FIT = (*COMMON, "trainer.max_steps=60", "trainer.val_check_interval=20")
SWEEP = (*COMMON, "trainer.max_steps=10", "trainer.val_check_interval=5", "sampler=x_y,hybrid", "seed=1,2")


@dataclass(frozen=True)
class Sample:
    """The process at one time; sizes in MB (10^6 bytes)."""

    seconds: float
    round: int
    kind: str
    ended: int  # 1 at the end of a round
    rss: float
    anonymous: float
    files: int
    threads: int
    children: int
    children_rss: float
    shared: int  # entries of /dev/shm that were not there at the start and are not named after others
    temporary: int  # files and folders in TMPDIR, which is the run's own


class Sampler(threading.Thread):
    """Writes samples until it is stopped."""

    def __init__(self, path: Path, interval: float) -> None:
        super().__init__(daemon=True)
        self.round, self.kind = 0, "start"
        self._interval, self._from = interval, time.perf_counter()
        self._shared, self._own = _names(Path("/dev/shm")), {str(os.getpid())}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(field.name for field in fields(Sample))

    def run(self) -> None:
        """Sample at every interval."""
        while not self._stopped.wait(self._interval):
            self.sample()

    def sample(self, *, ended: bool = False) -> None:
        """Sample now."""
        with self._lock:
            rss, anonymous, threads = _status("self")
            children = _descendants(os.getpid())
            sample = Sample(
                round(time.perf_counter() - self._from, 1),
                self.round,
                self.kind,
                int(ended),
                rss,
                anonymous,
                len(_names(Path("/proc/self/fd"))) - 1,  # without that of the listing
                threads,
                len(children),
                sum(_status(child)[0] for child in children),
                self._shared_memory(children),
                _temporary(Path(tempfile.gettempdir())),
            )
            self._writer.writerow(astuple(sample))
            self._file.flush()

    def _shared_memory(self, children: Sequence[str]) -> int:
        """Entries of /dev/shm, where other programs of the machine keep theirs; PyTorch's name a process."""
        self._own.update(children)
        made_by = {name: re.match(r"torch_(\d+)_", name) for name in _names(Path("/dev/shm")) - self._shared}
        return sum(1 for process in made_by.values() if process is None or process[1] in self._own)

    def stop(self) -> None:
        """Stop sampling and close the file."""
        self._stopped.set()
        self.join()
        self._file.close()


def rounds(out: Path) -> Iterator[tuple[str, list[str]]]:
    """What the process does, without end: names of kinds and command lines. Only the last run is kept."""
    cache, runs = f"paths.cache={out / 'cache'}", out / "runs"
    for turn in count():
        shutil.rmtree(runs, ignore_errors=True)
        at = [f"hydra.run.dir={runs}/{turn}", cache]
        yield "fit", ["train", *FIT, "logger=wandb", f"seed={turn}", *at]
        yield "evaluation", ["evaluate", f"model={runs}/{turn}/model", "benchmark=world_facts_sample",
                             f"hydra.run.dir={runs}/evaluation", cache]  # fmt: skip
        shutil.rmtree(runs, ignore_errors=True)
        yield "GradCache", ["train", *FIT, "logger=csv", "loss.grad_cache=true", f"seed={turn}", *at]
        yield "sweep", ["train", "-m", *SWEEP, "logger=tensorboard", f"hydra.sweep.dir={runs}/sweep", cache]


def slope(
    samples: Sequence[Sample], values: Sequence[float], draws: int = 2000
) -> tuple[float, float, float]:
    """Growth per hour, and its 95% interval.

    The line is fitted with a level of its own for each kind of round. The interval is a percentile bootstrap
    over rounds, because samples of one round are not independent.

    Args:
        samples: in the order of time.
        values: one for each sample.
        draws: of the bootstrap.
    """
    kinds = np.unique([sample.kind for sample in samples], return_inverse=True)[1]
    groups = np.unique([sample.round for sample in samples], return_inverse=True)[1]
    hours, level = np.array([s.seconds / 3600 for s in samples]), np.array(values, float)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    generator = np.random.default_rng(0)

    def fitted(rows: np.ndarray) -> float:
        x, y = hours[rows], level[rows]
        for kind in np.unique(kinds[rows]):
            of_kind = kinds[rows] == kind
            x[of_kind] -= x[of_kind].mean()
            y[of_kind] -= y[of_kind].mean()
        return float(x @ y / (x @ x)) if x @ x > 0 else 0.0

    drawn = [
        fitted(np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))]))
        for _ in range(draws)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return fitted(np.arange(len(level))), float(low), float(high)


def verdict(samples: Sequence[Sample]) -> dict[str, object]:
    """What the last two thirds of the time say.

    Memory is taken at the end of rounds. It is `flat` unless the whole interval of its slope is above
    `GROWTH` for each run trained meanwhile; `unclear` where there are fewer rounds than `FEWEST`, or the
    interval is wider than `UNCLEAR` to either side. The ends of sweeps are left out, as after some, by
    chance, 50 MB go back to the system until the next round; what sweeps keep shows at the ends after them.
    Files, threads, children and temporary files are counted at the end of rounds, by kind of round, and are
    flat if the last of a kind has no more of them than the first.
    """
    late = [sample for sample in samples if sample.seconds >= samples[-1].seconds / 3]
    found: dict[str, object] = {
        "minutes": round(samples[-1].seconds / 60, 1),
        "rounds": samples[-1].round,
        "samples": len(samples),
    }
    states = []
    hours = (late[-1].seconds - late[0].seconds) / 3600
    trained = sum(RUNS[sample.kind] for sample in late if sample.ended)
    found["training_runs_per_hour"] = round(trained / hours, 1)
    kept = [sample for sample in late if sample.ended and sample.kind != "sweep"]
    for name in ("rss", "anonymous"):
        values = [getattr(sample, name) for sample in late]
        of, low, high = 0.0, -math.inf, math.inf
        if len(kept) >= FEWEST:
            of, low, high = slope(kept, [getattr(sample, name) for sample in kept])
        state = (
            "grows" if low > GROWTH * trained / hours else "unclear" if (high - low) / 2 > UNCLEAR else "flat"
        )
        states.append(state)
        found[name] = {"state": state, "median_mb": float(np.median(values)), "largest_mb": max(values),
                       "mb_per_hour": round(of, 1), "interval": [round(low, 1), round(high, 1)]}  # fmt: skip
    for name in ("files", "threads", "children", "shared", "temporary"):
        ends = {kind: [getattr(s, name) for s in late if s.ended and s.kind == kind]
                for kind in sorted({s.kind for s in late if s.ended})}  # fmt: skip
        state = "flat" if all(of[-1] <= of[0] for of in ends.values()) else "grows"
        states.append(state)
        found[name] = {"state": state, "first_and_last": {kind: [of[0], of[-1]] for kind, of in ends.items()}}
    return {"flat": set(states) == {"flat"}, **found}


def draw(samples: Sequence[Sample], found: dict[str, object], path: Path) -> None:
    """The curve of memory, and below it that of open files and threads."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    memory, counts = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    minutes = [sample.seconds / 60 for sample in samples]
    memory.axvspan(0, minutes[-1] / 3, color="0.94", label="not counted: the first third")
    for name, label, colour in (("rss", "resident", "C0"), ("anonymous", "of it anonymous", "C1")):
        memory.plot(minutes, [getattr(sample, name) for sample in samples], color=colour, lw=1, label=label)
    about = found["anonymous"]
    assert isinstance(about, dict)
    low, high = about["interval"]
    memory.set(ylabel="MB", ylim=(0, None))
    memory.set_title(
        f"{found['rounds']} rounds of training, evaluation and sweeps in one process: anonymous memory "
        f"{about['mb_per_hour']:+.1f} MB/h (95%: {low:+.1f} to {high:+.1f})", fontsize=10, loc="left",
    )  # fmt: skip
    memory.legend(loc="lower right", fontsize=8, frameon=False)
    ends = [sample for sample in samples if sample.ended]
    at = [sample.seconds / 60 for sample in ends]
    counts.plot(at, [s.files for s in ends], ".-", color="C2", lw=1, label="open files at the end of a round")
    counts.plot(at, [s.threads for s in ends], ".-", color="C3", lw=1, label="threads")
    counts.set(xlabel="minutes", ylim=(0, None))
    counts.legend(loc="center right", fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file."""
    kinds: dict[str, type] = {field.name: field.type for field in fields(Sample)}  # type: ignore[misc]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Sample(**{name: kinds[name](value) for name, value in row.items()}) for row in rows]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _temporary(folder: Path) -> int:
    """Files and folders; os.walk minds none that goes meanwhile."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def _status(process: str) -> tuple[float, float, int]:
    """Resident and anonymous MB, and threads; zeros of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0, 0.0, 0
    of = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    megabytes = {name: round(int(of[name][0]) * 1.024e-3, 2) for name in ("VmRSS", "RssAnon") if name in of}
    return megabytes.get("VmRSS", 0.0), megabytes.get("RssAnon", 0.0), int(of["Threads"][0])


def _descendants(process: int | str) -> list[str]:
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            continue
        found += [descendant for child in children for descendant in (child, *_descendants(child))]
    return found


def main() -> None:
    """Soak, then judge; --again only judges and draws what DIR has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("outputs/soak"))
    parser.add_argument("--every", type=float, default=10, help="seconds between samples")
    parser.add_argument("--again", action="store_true", help="judge and draw the samples of DIR again")
    options = parser.parse_args()
    out: Path = options.out.absolute()
    if not options.again:
        soak(out, options.minutes, options.every)
    samples = read_samples(out / "samples.csv")
    found = verdict(samples)
    (out / "verdict.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    draw(samples, found, out / "soak.png")
    print(json.dumps(found, indent=2))
    sys.exit(0 if found["flat"] else 1)


def soak(out: Path, minutes: float, every: float) -> None:
    """Carry out rounds for so long; the round under way at the end is finished."""
    (out / "tmp").mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"], tempfile.tempdir = str(out / "tmp"), None
    sampler, ends = Sampler(out / "samples.csv", every), time.perf_counter() + 60 * minutes
    sampler.start()
    for sampler.round, (sampler.kind, arguments) in enumerate(rounds(out), 1):
        if status := run(arguments):
            sys.exit(f"round {sampler.round}: exit status {status} of hybrid-retrieval {' '.join(arguments)}")
        sampler.sample(ended=True)
        if time.perf_counter() > ends:
            break
    sampler.stop()


if __name__ == "__main__":
    main()
