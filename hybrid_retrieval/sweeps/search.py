"""`hybrid-retrieval train -m sweep=search`: Optuna proposes jobs, by what those before have reached."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.security.log_records import protect_handlers
from hybrid_retrieval.sweeps.estimate import estimate_jobs
from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.sweeps.search_objectives import NoValueError, benchmark_warnings, read_values
from hybrid_retrieval.sweeps.search_plan import Search
from hybrid_retrieval.sweeps.search_results import print_search, print_search_plan, write_search
from hybrid_retrieval.sweeps.search_settings import SearchSettings
from hybrid_retrieval.sweeps.search_study import SearchStudy, Trial, import_optuna
from hybrid_retrieval.sweeps.sweep import Sweep, check_switches
from hybrid_retrieval.training.run_lock import locked

_GIVE_UP = 5  # failed trials, where none has come to its end

logger = logging.getLogger(__name__)


def search(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    params: Mapping[str, str],
    arguments: Sequence[str],
    *,
    given: Mapping[str, Any],
) -> None:
    """Run the trials of a search that are left, or with `dry_run=true` say what they are.

    The objectives are metrics of held-out training data. A search that looks at the benchmark of the
    evaluation tunes to it, and what is reported on it afterwards is too good: such an objective is possible,
    with a warning.

    Args:
        context: of Hydra.
        task: what a job does with its configuration.
        config: the configuration without the overrides of single jobs, with `hydra`.
        params: overrides of the sweep file.
        arguments: overrides of the command line; intervals and choices are dimensions of the space.
        given: `hydra.sweeper.search`, see `conf/sweep/search.yaml`.

    Raises:
        UserError: the search cannot be as it is asked for, or Optuna is missing; nothing was started then.
        SystemExit: no trial came to its end (2 if all failed by mistakes of the user's, else 1), one was
            stopped from outside (1), or this process was asked to terminate.
        KeyboardInterrupt: interrupted; the table was printed.
    """
    protect_handlers()
    import_optuna()
    plain: Any = OmegaConf.to_container(OmegaConf.create(dict(given)), resolve=True)
    found = Search.parse(context, config, params, arguments, plain)
    check_switches(found.cfg)
    corners = found.corners()
    for warning in benchmark_warnings(found.objectives, found.cfg):
        logger.warning(warning)
    if found.cfg.dry_run:
        print_search_plan(found, estimate_jobs(corners))
        return
    if (every := found.cfg.trainer.val_check_interval) and found.cfg.trainer.max_steps % every:
        logger.warning(
            "trainer.max_steps=%d is no multiple of trainer.val_check_interval=%d: trials are judged by "
            "a validation before their end.",
            found.cfg.trainer.max_steps,
            every,
        )
    found.folder.mkdir(parents=True, exist_ok=True)
    with locked(found.folder, "search"):
        study = found.study()
        try:
            status = run_trials(found, study, Sweep(context, task, config))
        except (KeyboardInterrupt, SystemExit):  # Lightning turns the former into the latter
            print_search(found, study)
            raise
        write_search(found, study)
        print_search(found, study)
    if status:
        raise SystemExit(status)


def run_trials(found: Search, study: SearchStudy, sweep: Sweep) -> int:
    """Draw, run and tell trials until there are as many as asked for.

    `n_jobs` trials are drawn, run and told together, in order; a killed search first completes the batch that
    it was at. A failed run is told as failed, with its reason.

    Args:
        found: what the search is about.
        study: its trials.
        sweep: runs jobs.

    Returns:
        The exit status.
    """
    rerun = bool(found.cfg.rerun_failed)
    if rerun:
        for trial in study.trials():
            if trial.state == "failed":
                study.ask_again(trial)
    by_mistake: list[bool] = []
    while batch := next_batch(study, found.settings):
        jobs = [found.job(trial) for trial in batch]
        plan = list({job.hash: job for job in jobs}.values())
        records = dict(zip([job.hash for job in plan], sweep.run_jobs(plan, rerun_failed=rerun), strict=True))
        told = []
        for trial, job in zip(batch, jobs, strict=True):
            told.append(_tell(found, study, trial, job, records[job.hash]))
            by_mistake.append(records[job.hash].user_error)
        write_search(found, study)
        if not all(told):
            logger.error("a trial was stopped from outside: the search stops, too. The same line goes on.")
            return 1
    if any(trial.state == "complete" for trial in study.trials()):
        return 0
    logger.error("no trial has come to its end")
    return 2 if by_mistake and all(by_mistake) else 1


def next_batch(study: SearchStudy, settings: SearchSettings) -> list[Trial]:
    """The trials to run next, at most `n_jobs`: open ones first, of which the batch is filled up.

    Empty when all are done, or when all that were tried have failed.
    """
    trials = study.trials()
    left = [trial for trial in trials if trial.state == "open"]
    if not left and len(trials) >= _GIVE_UP and all(trial.state == "failed" for trial in trials):
        return []
    first = left[0].position if left else len(trials)
    end = min((first // settings.n_jobs + 1) * settings.n_jobs, settings.trials)
    left += [study.ask() for _ in range(len(trials), end)]
    return left[: settings.n_jobs]


def _tell(found: Search, study: SearchStudy, trial: Trial, job: Job, record: RunRecord) -> bool:
    """Tell the study how a trial ended, unless it may go on: then it stays open, and this is false."""
    if record.state == "finished":
        try:
            values = read_values(found.objectives, job.folder, job.cfg.trainer.monitor)
        except NoValueError as error:
            study.tell_failed(trial, job.name, str(error))
        else:
            study.tell(trial, job.name, values)
        return True
    if record.state == "failed" or record.user_error:
        study.tell_failed(trial, job.name, record.reason or "without a word")
        return True
    return False
