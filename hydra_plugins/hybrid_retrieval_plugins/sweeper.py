"""The sweeper of `hybrid-retrieval train -m`: jobs with names, records and isolation from one another."""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class JobSweeperConf:
    """`hydra/sweeper=jobs`.

    Attributes:
        params: overrides of a sweep, such as `{seed: "1,2,3"}`; those of the command line win.
        leave_one_out: whether each data set of `data` is left out in turn, besides a job with all.
        search: of `SearchSweeper`: what a search varies and optimises (`conf/sweep/search.yaml`).
    """

    _target_: str = "hydra_plugins.hybrid_retrieval_plugins.sweeper.JobSweeper"
    params: dict[str, Any] | None = None
    leave_one_out: bool = False
    search: dict[str, Any] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="jobs", node=JobSweeperConf, provider="hybrid_retrieval"
)


class JobSweeper(BasicSweeper):
    """Hands over to `hybrid_retrieval.sweeps.sweep`; the launcher is made there, once the folder is known."""

    def __init__(
        self,
        params: dict[str, Any] | None = None,
        leave_one_out: bool = False,
        search: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.leave_one_out = leave_one_out
        self.search = search
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs are started with."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run all jobs of the overrides `arguments`.

        Raises:
            UserError: the sweep cannot start.
            SystemExit: jobs failed.
        """
        from hybrid_retrieval.errors import UserError  # noqa: PLC0415 (every Hydra start imports this file)
        from hybrid_retrieval.sweeps.sweep import sweep  # noqa: PLC0415

        if self.search is not None:
            raise UserError(
                f"hydra.sweeper.search needs hydra.sweeper._target_={__name__}.SearchSweeper, as in "
                "conf/sweep/search.yaml."
            )
        sweep(*self._given(), arguments, leave_one_out=self.leave_one_out)

    def _given(self) -> tuple[HydraContext, TaskFunction, DictConfig, dict[str, str]]:
        """What `setup` was given, and the overrides of the sweep file."""
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        params = {name: str(value) for name, value in self.params.items()}
        return self.hydra_context, self.task_function, self.config, params


class SearchSweeper(JobSweeper):
    """Hands over to `hybrid_retrieval.sweeps.search`, which chooses the jobs one after another."""

    def sweep(self, arguments: list[str]) -> None:
        """Run a search, with what the overrides `arguments` say of its space.

        Raises:
            UserError: the search cannot start.
            SystemExit: it did not come to its end.
        """
        from hybrid_retrieval.sweeps.search import search  # noqa: PLC0415 (every Hydra start imports this file)

        search(*self._given(), arguments, given=self.search or {})
