"""The data files that a run has mapped: one that is cut kills the process that reads what is gone.

The system does that with SIGBUS, before Python hears of it, so that no message is possible then. A look at
the sizes says it in time, or afterwards, where it met a process that loads data.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import lightning.pytorch as pl

from hybrid_retrieval.data.parallel import ParallelCorpus, read_manifest
from hybrid_retrieval.data.token_store import TokenStore
from hybrid_retrieval.data.token_table import TokenTable
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training.assemble import Parts

_GO_ON = "go on from the last checkpoint with resume=auto"


class MappedData(pl.Callback):
    """Stops a run one of whose data files was cut, where an epoch or a validation begins.

    A file that is replaced or removed under a run does no harm: what is mapped is the old one. A file that is
    cut and read before the next look still ends the process without a message.

    Args:
        corpora: prepared corpora, opened and so found whole; any splits.
        tables: tokens of their texts, opened as well.
    """

    def __init__(self, corpora: Iterable[ParallelCorpus], tables: Iterable[TokenTable] = ()) -> None:
        self._files: dict[Path, tuple[os.stat_result, str]] = {}
        for folder in {corpus.folder for corpus in corpora}:
            fix = f"Delete the folder {folder}, run `hybrid-retrieval prepare` again, and {_GO_ON}."
            self._add([folder / name for name in read_manifest(folder).files], fix)
        for table in tables:
            self._add(table.folder.glob("*.bin"), f"It is made again when you {_GO_ON}.")

    @classmethod
    def of(cls, parts: Parts) -> "MappedData":
        """What a run trains and validates on."""
        tokens = parts.data.collator.tokens
        tables = tokens.tables.values() if isinstance(tokens, TokenStore) else ()
        return cls([*parts.train, *parts.data.validation], tables)

    def check(self) -> None:
        """Look at the size of every file.

        Raises:
            UserError: one was cut; the message names it and the fix.
        """
        for file, (before, fix) in self._files.items():
            try:
                now = file.stat()
            except OSError:
                continue  # removed
            if os.path.samestat(now, before) and now.st_size < before.st_size:
                raise UserError(
                    f"{file} was cut while the run read it: {now.st_size} bytes instead of "
                    f"{before.st_size}. {fix}"
                )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look."""
        self.check()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look."""
        self.check()

    def _add(self, files: Iterable[Path], fix: str) -> None:
        self._files |= {file: (file.stat(), fix) for file in files}
