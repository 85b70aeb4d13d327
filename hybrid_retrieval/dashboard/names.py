"""The names under which runs log to Weights & Biases what a dashboard shows (`training.loggers`)."""

SETTINGS = ("monolingual", "cross_lingual", "multilingual")
METRICS = ("map", "map@20", "recall@1", "recall@10", "ndcg@10", "mrr@10")

STEP = "trainer/global_step"
SECONDS = "_runtime"
STRATEGY = "sampler.name"
ALPHA = "sampler.alpha"
SEED = "seed"

LOSS = "train/loss"
LOSSES_BY_BATCH = ("train/loss_monolingual", "train/loss_cross_lingual")
GRADIENT_NORM = "train/gradient_norm"
LEARNING_RATE = "lr-AdamW/pg1"
MONOLINGUAL_SHARE = "train/monolingual_share"
PAIRS_PER_SECOND = "train/pairs_per_second"
TOKENS_PER_SECOND = "train/tokens_per_second"
PADDING_SHARE = "train/padding_share"
PEAK_SHARE = "train/matrix_peak_share"

TRAIN_SECONDS, ENERGY = "run/train_seconds", "run/energy_joules"
"""Of the training since the last start of the run; only runs on GPUs that can tell have the energy."""

PAIR_MAP, CONFUSION_MAP = "test/language_pairs_map", "test/confusion_map"
"""Pictures."""
PAIR_TABLE, CONFUSION_TABLE = "test/language_pairs", "test/confusion"
"""Tables."""
QUERY_LANGUAGE, DOCUMENT_LANGUAGE = "query language", "document language"
"""Columns of the table of pairs; its others are metrics."""

PROCESS_MEMORY = "system/proc.memory.rssMB"
CPU = "system/cpu"
_GPUS = 8
GPU_MEMORY = tuple(f"system/gpu.{i}.memoryAllocatedBytes" for i in range(_GPUS))
GPU_POWER = tuple(f"system/gpu.{i}.powerWatts" for i in range(_GPUS))
"""Of a node; only runs on GPUs have them. Names of wandb's documentation, not seen on a GPU."""


def score(setting: str, metric: str) -> str:
    """A metric over all languages in one of the `SETTINGS`."""
    return f"test/{setting}/{metric}"


def bias(measure: str) -> str:
    """A measure of language bias over all languages."""
    return f"test/language_bias/{measure}"


def of_query_language(code: str, metric: str) -> str:
    """A metric (`multilingual/map`) or a measure of bias over the queries of one language."""
    return f"test/per_language/{code}/{metric}"


def of_document_language(code: str, measure: str) -> str:
    """What becomes of the documents of one language: `top_share@10`, `pool_share` or `mean_rank`."""
    return f"test/per_document_language/{code}/{measure}"


def validation(name: str) -> str:
    """Of the held-out rows while training: `loss`, `loss_<setting>`, `map_<setting>`, `rank_distance`."""
    return f"val/{name}"
