"""Whether a run tokenises its data once, and whether it trains the embeddings of its tokens only.

Both need one pass of the tokenizer over the data, whose result is kept in the cache. `auto` does it for data
sets of up to `AUTO_TEXTS` texts, which take a few minutes on two cores, the first time. The choice follows
from the data alone, so that a resumed run chooses the same.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_store import TokensNotKeptError, TokenStore, prepare_tokens, text_count
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.frozen import KEY as FROZEN
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from hybrid_retrieval.optim.corpus_tokens import corpus_token_ids
from hybrid_retrieval.optim.trimmed_embedding import TrimmedHandle, trim_embeddings, why_not_trimmed
from hybrid_retrieval.security.checkpoints import read_tensors

logger = logging.getLogger(__name__)

AUTO_TEXTS = 1_000_000


def check_token_reuse(cfg: DictConfig) -> None:
    """Check `data.tokenize_once` and `optim.trim_embeddings`.

    Raises:
        UserError: a value that is none of true, false and auto, or the two contradict each other.
    """
    for name, value in (
        ("data.tokenize_once", cfg.data.tokenize_once),
        ("optim.trim_embeddings", cfg.optim.trim_embeddings),
    ):
        if not isinstance(value, bool) and value != "auto":
            raise UserError(f"{name}={value} must be true, false or auto.")
    if cfg.optim.trim_embeddings is True and cfg.data.tokenize_once is False:
        raise UserError(
            "optim.trim_embeddings=true looks for the tokens of the training texts in what "
            "data.tokenize_once keeps: set data.tokenize_once=auto."
        )
    if cfg.optim.trim_embeddings is True and _sharded(cfg):
        raise UserError(
            f"optim.trim_embeddings=true does not work with trainer.strategy={cfg.trainer.strategy}, which "
            "divides the embedding matrix among the devices. Set optim.trim_embeddings=auto."
        )


def token_store(
    cfg: DictConfig, corpora: Sequence[ParallelCorpus], languages: Sequence[str], tokenizer: TextTokenizer
) -> TokenStore | None:
    """The tokens of the training languages, made once; None where every batch is tokenised anew.

    `auto` tokenises anew, with a warning, where the cache cannot be written; all nodes of a run should have
    caches that can, or caches that cannot.

    Args:
        cfg: `conf/train.yaml`, checked by `check_token_reuse`.
        corpora: training splits.
        languages: training languages.
        tokenizer: with the lengths that training uses.
    """
    once = cfg.data.tokenize_once
    if once == "auto":
        once = cfg.optim.trim_embeddings is True or text_count(corpora, languages) <= AUTO_TEXTS
    if not once:
        return None
    try:
        return prepare_tokens(corpora, languages, tokenizer, cache_folder(cfg.paths.cache))
    except TokensNotKeptError as error:
        if cfg.data.tokenize_once is True or cfg.optim.trim_embeddings is True:
            raise
        logger.warning("texts are tokenised at every step: %s", error)
        return None


def trimmed_embeddings(
    cfg: DictConfig,
    encoder: TextEncoder,
    corpora: Sequence[ParallelCorpus],
    languages: Sequence[str],
    store: TokenStore | None,
) -> TrimmedHandle | None:
    """Trim the word embeddings of an encoder where that is asked for, or `auto` and possible.

    Args:
        cfg: `conf/train.yaml`, checked by `check_token_reuse`.
        encoder: before the optimiser is made.
        corpora: training splits.
        languages: training languages.
        store: of `token_store`.

    Raises:
        UserError: asked for, and not possible with this backbone.
    """
    trim = cfg.optim.trim_embeddings
    if trim is False or store is None:
        return None
    if trim == "auto" and (reason := why_not_trimmed(encoder) or _sharded(cfg)):
        logger.info("all word embeddings are trained: %s", reason)
        return None
    ids = corpus_token_ids(corpora, languages, store, hard_negatives=cfg.data.hard_negatives)
    return trim_embeddings(encoder, ids)


def check_resumed(checkpoint: Path, trimmed: TrimmedHandle | None) -> None:
    """Check that a run that goes on trains the word embeddings that it trained before.

    Args:
        checkpoint: of Lightning.
        trimmed: of this run.

    Raises:
        UserError: it trained all of them then and some of them now, or the other way round.
    """
    content = read_tensors(checkpoint, "Start again with resume=false in another folder.", mapped=True)
    if FROZEN in content:
        return  # of an adapter, which leaves all of them as they are; `FrozenWeights.check` compares
    was = any(name.endswith(".token_ids") for name in content["state_dict"])
    if was != (trimmed is not None):
        then, now = ("some", "all") if was else ("all", "some")
        raise UserError(
            f"{checkpoint} trained {then} of the word embeddings, and this run would train {now}: set "
            f"optim.trim_embeddings={str(was).lower()}, or start again with resume=false."
        )


def _sharded(cfg: DictConfig) -> str | None:
    strategy = str(cfg.trainer.strategy)
    sharded = "fsdp" in strategy.lower() or "parallel" in strategy.lower() or "deepspeed" in strategy.lower()
    return f"trainer.strategy={strategy} shards the model" if sharded else None
