"""`hybrid-retrieval export`: a model for use elsewhere, in half precision and with a smaller vocabulary."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, ListConfig

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.number_options import check_number

if TYPE_CHECKING:
    from torch import nn

    from hybrid_retrieval.models.encoder import TextEncoder

DTYPES = ("float32", "float16", "bfloat16")


def run(cfg: DictConfig) -> None:
    """Write `cfg.model` to `cfg.output` in sentence-transformers' layout; the last line is the folder.

    Args:
        cfg: `conf/export.yaml`.

    Raises:
        UserError: a setting does not fit, no such model or texts, too few texts with translations, or its
            vocabulary cannot be trimmed.
    """
    _check(cfg)
    import torch  # noqa: PLC0415 (seconds)

    from hybrid_retrieval.data.open import prepare_data  # noqa: PLC0415
    from hybrid_retrieval.data.used_tokens import used_tokens  # noqa: PLC0415
    from hybrid_retrieval.models.average import average_weights  # noqa: PLC0415
    from hybrid_retrieval.models.encoder import TextEncoder  # noqa: PLC0415
    from hybrid_retrieval.models.export import check_model_target  # noqa: PLC0415
    from hybrid_retrieval.models.training_record import read_record, write_record  # noqa: PLC0415
    from hybrid_retrieval.models.vocabulary import trim_vocabulary  # noqa: PLC0415

    source, output = Path(str(cfg.model)).expanduser(), Path(str(cfg.output)).expanduser().absolute()
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"output={cfg.output} is the folder of the model itself: choose another.")
    check_model_target(output)
    trained = read_record(source)
    encoder = TextEncoder.load(str(cfg.model))
    if cfg.average.models:
        others = [TextEncoder.load(str(name)) for name in cfg.average.models]
        equal = [1 / (len(others) + 1)] * len(others)
        average_weights(encoder, others, equal if cfg.average.shares is None else list(cfg.average.shares))
    before, languages = _bytes(encoder), cfg.keep_languages
    named = cfg.trim_vocabulary if isinstance(cfg.trim_vocabulary, ListConfig) else [cfg.trim_vocabulary]
    paths = [Path(str(path)).expanduser().absolute() for path in named if path]
    if cfg.get("data"):
        paths += prepare_data(cfg.data, cfg.paths.cache, benchmarks=cfg.paths.benchmarks)
        languages = cfg.data.languages if languages is None else languages
    tokens = None
    if paths:
        codes = None if languages is None else list(languages)
        tokens = used_tokens(paths, codes, encoder.tokenizer, cache_folder(cfg.paths.cache))
    if cfg.projection.data is not None:
        _project(encoder, cfg)
    if tokens is not None:
        total = len(encoder.tokenizer.hf_tokenizer)
        encoder, kept = trim_vocabulary(encoder, tokens)
        sys.stdout.write(f"vocabulary: {len(kept):,} of {total:,} tokens\n")
    if cfg.dtype is not None:
        encoder.to(getattr(torch, cfg.dtype))
    encoder.save(output)
    if trained is not None:
        write_record(output, trained | _changes(cfg))
    after = _bytes(encoder)
    sys.stdout.write(f"weights: {after / 1e6:,.1f} MB, {after / before:.3f} of {before / 1e6:,.1f} MB\n")
    sys.stdout.write(f"{output}\n")


def _changes(cfg: DictConfig) -> dict[str, object]:
    """What tells the model from the one that was trained, so that no evaluation takes it for that."""
    changes: dict[str, object] = {}
    if cfg.average.models:
        shares = cfg.average.shares
        changes["averaged_with"] = [str(name) for name in cfg.average.models]
        changes["averaged_shares"] = None if shares is None else list(shares)
    if cfg.projection.data is not None:
        of = cfg.projection
        changes["projection"] = {"directions": of.directions, "shrinkage": of.shrinkage, "texts": of.texts}
    return changes


def _project(encoder: "TextEncoder", cfg: DictConfig) -> None:
    """Append the map that `cfg.projection` asks for."""
    from hybrid_retrieval.data.open import open_data  # noqa: PLC0415
    from hybrid_retrieval.data.setting_names import settings_called  # noqa: PLC0415
    from hybrid_retrieval.evaluation.embedder import EncoderEmbedder  # noqa: PLC0415
    from hybrid_retrieval.evaluation.estimate_language_projection import (  # noqa: PLC0415
        estimate_language_projection,
        parallel_texts,
    )
    from hybrid_retrieval.models.language_projection import append_projection  # noqa: PLC0415

    of = cfg.projection
    with settings_called("projection.data", reader="data@projection.data"):
        corpora = open_data(of.data, cfg.paths.cache, of.split, benchmarks=cfg.paths.benchmarks)
    texts = parallel_texts(corpora, texts=of.texts, languages=of.data.languages, seed=of.seed)
    embedder = EncoderEmbedder(encoder, cache=cache_folder(cfg.paths.cache) / "embeddings")
    projection = estimate_language_projection(
        texts, embedder, directions=of.directions, shrinkage=of.shrinkage
    )
    append_projection(encoder, projection)
    passages = len(next(iter(texts.values())))
    sys.stdout.write(f"projection: from {passages:,} texts in {len(texts)} languages\n")


def _check(cfg: DictConfig) -> None:
    if not cfg.model or not cfg.output:
        raise UserError(
            "export needs model=<folder, hub id or backbone name> and output=<folder>, for example "
            "model=runs/hybrid/model output=my-model."
        )
    if cfg.dtype is not None and cfg.dtype not in DTYPES:
        raise UserError(f"dtype={cfg.dtype} is unknown: choose from {', '.join(DTYPES)}, or null.")
    models, shares = cfg.average.models, cfg.average.shares
    if not isinstance(models, ListConfig):
        raise UserError(f"average.models={models} must be a list, for example [e5_small_q4].")
    numbers = isinstance(shares, ListConfig) and all(map(_is_number, shares))
    if shares is not None and not (models and numbers):
        raise UserError(f"average.shares={shares} must be a list of numbers, one for each of average.models.")
    if cfg.keep_languages is not None and not (cfg.get("data") or cfg.trim_vocabulary):
        raise UserError(
            "keep_languages says which texts the vocabulary is trimmed to: name them with data=... or "
            "trim_vocabulary=<prepared corpus>."
        )
    if cfg.keep_languages is not None and not isinstance(cfg.keep_languages, ListConfig):
        raise UserError(f"keep_languages={cfg.keep_languages} must be a list, for example [de,en].")
    if cfg.projection.data is not None:
        _check_projection(cfg.projection)


def _check_projection(of: DictConfig) -> None:
    for name, least in (("texts", 1), ("seed", 0), ("directions", 0)):
        check_number(f"projection.{name}", of[name], least=least, whole=True, null=name == "directions")
    from hybrid_retrieval.models.language_projection import check_shrinkage  # noqa: PLC0415

    check_shrinkage(of.shrinkage)
    languages = of.data.languages
    if languages is not None and not isinstance(languages, ListConfig):
        raise UserError(f"projection.data.languages={languages} must be a list, for example [de,en].")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bytes(encoder: "nn.Module") -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in encoder.parameters())
