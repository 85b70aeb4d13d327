"""The embedder that a command line asks for."""

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder, EncoderEmbedder
from hybrid_retrieval.evaluation.embedding_cache import folder_fingerprint
from hybrid_retrieval.evaluation.embedding_files import EmbeddingFiles
from hybrid_retrieval.evaluation.library_embedder import SentenceTransformerEmbedder
from hybrid_retrieval.evaluation.precision import check_precision
from hybrid_retrieval.models.sentence_transformer import beyond_text_encoder, load_sentence_transformer

log = logging.getLogger(__name__)


def embedder_of(cfg: DictConfig, device: torch.device, *, distributed: bool = False) -> Embedder:
    """The embedder that a configuration asks for (`conf/evaluate.yaml` or `conf/mine.yaml`).

    Args:
        cfg: with `model`, `embeddings`, `token_budget`, `keep_embeddings`, `cache_gb`, `dtype`,
            `precision` and `paths`; texts are cut at the lengths of its `data`, if it has some.
        device: as for `load_embedder`.
        distributed: as for `load_embedder`.

    Raises:
        UserError: as `load_embedder`.
    """
    data = cfg.get("data") or {}
    return load_embedder(
        str(cfg.model) if cfg.model else None,
        queries=cfg.embeddings.queries,
        candidates=cfg.embeddings.candidates,
        device=device,
        token_budget=cfg.token_budget,
        cache=cache_folder(cfg.paths.cache) / "embeddings" if cfg.keep_embeddings else None,
        cache_gb=cfg.cache_gb,
        dtype=cfg.dtype,
        precision=check_precision(cfg.precision, "precision"),
        max_query_length=data.get("max_query_length"),
        max_passage_length=data.get("max_passage_length"),
        distributed=distributed,
    )


def load_embedder(
    model: str | None,
    *,
    queries: str | None = None,
    candidates: str | None = None,
    device: torch.device | str = "cpu",
    token_budget: int = 2048,
    cache: Path | None = None,
    cache_gb: float = 20.0,
    dtype: str = "float32",
    precision: str = "auto",
    max_query_length: int | None = None,
    max_passage_length: int | None = None,
    distributed: bool = False,
) -> Embedder:
    """The embedder that a command line asks for: a model, or files of embeddings.

    Args:
        model: a folder, a hub id or a named backbone; a sentence-transformers model whose modules
            `TextEncoder` does not have is run by that library, if it is installed.
        queries: file of the queries' embeddings (see `EmbeddingFiles`), in place of a model.
        candidates: file of the candidates' embeddings.
        device: where the model runs.
        token_budget, cache, cache_gb, dtype, precision, distributed: as for `EncoderEmbedder`.
        max_query_length: tokens after which a query is cut, if the model does not cut it earlier.
        max_passage_length: the same for passages.

    Raises:
        UserError: both a model and files, or neither; no such model or file, or a damaged one.
    """
    if queries or candidates:
        if model or not (queries and candidates):
            raise UserError(
                "embeddings take the place of a model: give embeddings.queries=<file> and "
                "embeddings.candidates=<file>, both, and no model=."
            )
        return EmbeddingFiles(queries=Path(queries), candidates=Path(candidates))
    if not model:
        raise UserError(
            "evaluate needs model=<folder, hub id or backbone name>, for example model=e5_small_q4, or "
            "embeddings.queries=<file> and embeddings.candidates=<file>."
        )
    from hybrid_retrieval.models.encoder import TextEncoder  # noqa: PLC0415 (seconds)

    try:
        encoder = TextEncoder.load(model)
    except UserError as error:
        folder = beyond_text_encoder(model)
        if folder is None:
            raise
        log.info("%s; using sentence-transformers", error)
        if precision != "auto":
            log.warning("precision=%s has no effect: sentence-transformers encodes as it does", precision)
        if max_query_length or max_passage_length:
            log.warning("the lengths of data have no effect: sentence-transformers cuts texts as it does")
        library_model = load_sentence_transformer(folder, device, reason=str(error))
        return SentenceTransformerEmbedder(
            library_model,
            name=model,
            fingerprint=folder_fingerprint(folder),
            cache=cache,
            cache_gb=cache_gb,
            dtype=dtype,
            distributed=distributed,
        )
    encoder.tokenizer = encoder.tokenizer.shortened(max_query_length, max_passage_length)
    return EncoderEmbedder(
        encoder.to(device),
        name=model,
        token_budget=token_budget,
        cache=cache,
        cache_gb=cache_gb,
        dtype=dtype,
        precision=precision,
        distributed=distributed,
    )
