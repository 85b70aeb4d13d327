"""`hybrid-retrieval prepare`: a data set and a backbone, made ready once."""

import sys

from omegaconf import DictConfig
from rich.console import Console


def run(cfg: DictConfig) -> None:
    """Prepare the data and the backbone that `cfg` (conf/prepare.yaml) names, and say where they lie.

    Raises:
        UserError: a source is missing, malformed or out of reach.
    """
    from hybrid_retrieval.data.open import prepare_data  # noqa: PLC0415
    from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus  # noqa: PLC0415
    from hybrid_retrieval.models.backbones import prepare_backbone  # noqa: PLC0415

    console = Console(stderr=True)
    with console.status("preparing") as status:

        def progress(line: str) -> None:
            if console.is_terminal:
                status.update(line)
            else:
                console.print(line, highlight=False, markup=False)

        for folder in prepare_data(cfg.data, cfg.paths.cache, progress):
            splits = [ParallelCorpus.open(folder, split) for split in SPLITS]
            counts = ", ".join(f"{len(c):,} {split}" for split, c in zip(SPLITS, splits, strict=True))
            sys.stdout.write(
                f"{splits[0].name}: {counts} triples in {len(splits[0].languages)} languages\n{folder}\n"
            )
        backbone = prepare_backbone(cfg.backbone.name, progress)
    sys.stdout.write(f"{cfg.backbone.name}\n{backbone}\n")
