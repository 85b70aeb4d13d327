"""Checks of a training configuration that need no data, so that mistakes show before anything is prepared."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.text_lengths import check_text_lengths
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.evaluation.precision import check_precision
from hybrid_retrieval.number_options import check_number
from hybrid_retrieval.sampling.strategies import Strategy, make_strategy
from hybrid_retrieval.training.capacity import check_capacity
from hybrid_retrieval.training.determinism import check_deterministic
from hybrid_retrieval.training.loss_inputs import check_teacher
from hybrid_retrieval.training.token_reuse import check_token_reuse

# Metrics that training can watch, and which direction is better.
MONITORED = {
    "val/loss": "min",
    "val/loss_monolingual": "min",
    "val/loss_cross_lingual": "min",
    "val/map_monolingual": "max",
    "val/map_cross_lingual": "max",
    "val/map_multilingual": "max",
    "val/rank_distance": "min",
    **{
        f"val_retrieval/{metric}_{setting}": "max"
        for metric in METRICS
        for setting in ("monolingual", "cross_lingual", "multilingual")
    },
    "val_retrieval/rank_distance": "min",
    "val_retrieval/loss": "min",
    "val_retrieval/loss_monolingual": "min",
    "val_retrieval/loss_cross_lingual": "min",
}
_WHOLE = {
    "seed": 0,
    "global_batch_size": 2,
    "trainer.max_steps": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.num_nodes": 1,
    "data.token_budget": 1,
    "data.hard_negatives": 0,
    "data.workers": 0,
    "data.validation_limit": 0,
}
_WHOLE_OR_NULL = {
    "trainer.val_check_interval": 1,
    "trainer.checkpoint_every_n_steps": 1,
    "trainer.patience": 1,
    "val_questions": 2,
}
_FRACTIONAL = ("optim.lr", "optim.weight_decay", "optim.eps", "data.validation_fraction", "optim.warmup")
_SWITCHES = (
    *(
        "evaluate",
        "check_memory",
        "halve_chunk",
        "save_checkpoints",
        "optim.fused",
        "trainer.enable_progress_bar",
    ),
    *(
        "loss.grad_cache",
        "loss.within_view",
        "loss.learn_temperature",
        "loss.local_loss",
        "loss.gather_with_grad",
    ),
)


def check_options(cfg: DictConfig, *, this_machine: bool = True) -> None:
    """Refuse values that would fail later or train nothing.

    Args:
        cfg: `conf/train.yaml`.
        this_machine: whether the run is to be on this machine, so that its hardware has to do.

    Raises:
        UserError: a value is of the wrong kind or out of range; the message names it.
    """
    sampling_options(cfg)
    for name, least in _WHOLE.items():
        check_number(name, OmegaConf.select(cfg, name), least=least, whole=True)
    for name, least in _WHOLE_OR_NULL.items():
        check_number(name, OmegaConf.select(cfg, name), least=least, whole=True, null=True)
    check_text_lengths(cfg.data)
    for name in _FRACTIONAL:
        check_number(name, OmegaConf.select(cfg, name), least=0)
    for name in _SWITCHES:
        if not isinstance(value := OmegaConf.select(cfg, name), bool):
            raise UserError(f"{name}={value} must be true or false.")
    if not isinstance(cfg.resume, bool) and cfg.resume != "auto":
        raise UserError(f"resume={cfg.resume} must be true, false or auto.")
    if cfg.optim.warmup > 1:
        raise UserError(f"optim.warmup={cfg.optim.warmup} is a share of the steps: use 0 to 1.")
    if cfg.optim.decay not in ("linear", "constant"):
        raise UserError(f"optim.decay={cfg.optim.decay} is unknown; known: linear, constant.")
    if str(cfg.trainer.strategy).endswith(("spawn", "fork", "notebook")):
        # Weights, step count and log would stay in the processes that it starts.
        raise UserError(
            f"trainer.strategy={cfg.trainer.strategy} is not supported: use trainer.strategy=ddp or fsdp2."
        )
    check_precision(cfg.evaluate_precision, "evaluate_precision")
    check_deterministic(cfg)
    check_token_reuse(cfg)
    check_teacher(cfg)
    if this_machine:
        check_capacity(cfg)
    _check_monitor(cfg.trainer.monitor, cfg.trainer.patience)
    if str(cfg.trainer.monitor).startswith("val_retrieval/") and cfg.get("val_retrieval") is None:
        raise UserError(
            f"trainer.monitor={cfg.trainer.monitor} needs a benchmark to retrieve on at every validation: "
            "add benchmark@val_retrieval=<name>, for example benchmark@val_retrieval=world_facts_sample."
        )
    _check_held_out(cfg)


def sampling_options(cfg: DictConfig) -> tuple[Strategy, dict[str, Any]]:
    """The strategy, and `language_tau`, `dataset_tau` and `mix_datasets`, arguments of `BatchPlan`.

    Raises:
        UserError: an unknown strategy or option, or a value out of range.
    """
    options: dict[str, Any] = OmegaConf.to_container(cfg.sampler)  # type: ignore[assignment]
    for name in ("language_tau", "dataset_tau"):
        check_number(f"sampler.{name}", cfg.sampler[name], least=0)
    check_number("trainer.max_steps", cfg.trainer.max_steps, least=1, whole=True)
    shares: dict[str, Any] = {name: float(options.pop(name)) for name in ("language_tau", "dataset_tau")}
    shares["mix_datasets"] = options.pop("mix_datasets")
    if not isinstance(shares["mix_datasets"], bool):
        raise UserError(f"sampler.mix_datasets={shares['mix_datasets']} must be true or false.")
    return make_strategy(options.pop("name"), max_steps=cfg.trainer.max_steps, **options), shares


def _check_held_out(cfg: DictConfig) -> None:
    """A benchmark of held-out rows of the training data must hold out what training does."""
    data = cfg.data
    for name in ("benchmark", "val_retrieval"):
        benchmark = cfg.get(name)
        if benchmark is None or (name == "benchmark" and not cfg.evaluate):
            continue
        if (benchmark.get("reader"), benchmark.path) != (data.reader, data.path):
            continue
        if benchmark.validation_fraction != data.validation_fraction:
            raise UserError(
                f"{name}.validation_fraction={benchmark.validation_fraction} differs from "
                f"data.validation_fraction={data.validation_fraction}, so it would hold rows that were "
                "trained on. Set both to the same value."
            )


def _check_monitor(monitor: str | None, patience: int | None) -> None:
    known = ", ".join(MONITORED)
    if monitor is not None and monitor not in MONITORED:
        raise UserError(f"trainer.monitor={monitor} is unknown; known: {known}.")
    if patience is not None and monitor is None:
        raise UserError(
            f"trainer.patience={patience} needs trainer.monitor, the metric to watch: one of {known}."
        )
