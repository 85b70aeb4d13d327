"""From a configuration to what the loss needs beyond pairs: a teacher, translations, views."""

import logging
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from hybrid_retrieval.data.extra_texts import ExtraTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.salience import SalientViews, token_salience
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenSource
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.teacher import INITIAL, Teacher
from hybrid_retrieval.losses.terms.registry import TEACHER
from hybrid_retrieval.models.backbones import spec_for
from hybrid_retrieval.models.encoder import TextEncoder

logger = logging.getLogger(__name__)


def check_teacher(cfg: DictConfig) -> None:
    """Check `loss.teacher` without loading anything.

    Raises:
        UserError: neither null, `initial`, a named backbone, a folder nor the form of a hub id.
    """
    name = cfg.loss.teacher
    if name is None or name == INITIAL:
        return
    if not isinstance(name, str) or not name:
        raise UserError(
            f"loss.teacher={name} must be {INITIAL}, a backbone's name, a folder or a hub id, or null."
        )
    try:
        spec_for(name)
    except UserError as error:
        raise UserError(f"loss.teacher={name}: {error}") from error


def check_teacher_language(language: Any, loss: Objective, languages: Sequence[str]) -> None:
    """Check `loss.teacher_language`.

    Args:
        language: as configured; None for each text in its own.
        loss: the objective.
        languages: the plan's languages.

    Raises:
        UserError: it is no training language.
    """
    if language is None:
        return
    if language not in languages:
        raise UserError(
            f"loss.teacher_language={language} must be a training language ({', '.join(languages)}), or null."
        )
    if set(TEACHER).isdisjoint(loss.needs):
        logger.warning("loss.teacher_language=%s has no effect: no term in use has a teacher", language)


def teacher_of(cfg: DictConfig, loss: Objective, encoder: TextEncoder) -> Teacher | None:
    """The teacher that `loss.teacher` names, where a term in use has one.

    Args:
        cfg: `conf/train.yaml`, checked by `check_teacher`.
        loss: the objective.
        encoder: the backbone, before anything of it is trained or replaced.

    Raises:
        UserError: the teacher's files are missing or damaged.
    """
    name = cfg.loss.teacher
    if set(TEACHER).isdisjoint(loss.needs):
        if name is not None:
            logger.warning("loss.teacher=%s has no effect: no term in use has a teacher", name)
        return None
    if name in (None, INITIAL):
        return Teacher.copy_of(encoder)
    teacher = Teacher.load(name)
    if loss.weights.get("teacher_alignment") and teacher.dimension != encoder.dimension:
        raise UserError(
            f"loss.terms.teacher_alignment needs embeddings of equal size: loss.teacher={name} has "
            f"{teacher.dimension} dimensions, {encoder.name or 'the backbone'} {encoder.dimension}. Use "
            "loss.terms.distillation, which compares scores."
        )
    return teacher


def extra_texts(
    cfg: DictConfig,
    loss: Objective,
    corpora: Sequence[ParallelCorpus],
    languages: Sequence[str],
    *,
    tokens: TokenSource,
    encoder: TextEncoder,
    teacher: Teacher | None,
) -> ExtraTexts:
    """What finds the further texts of a batch that the terms in use need.

    Args:
        cfg: `conf/train.yaml`.
        loss: the objective.
        corpora: training splits.
        languages: the plan's languages.
        tokens: with the lengths that training uses.
        encoder: the backbone.
        teacher: of `teacher_of`.
    """
    views = None
    if "salient_passages" in loss.needs:
        vocabulary = len(encoder.tokenizer.hf_tokenizer)
        salience = token_salience(corpora, languages, tokens, vocabulary)
        keep = loss.option("salient_view", "keep")
        views = SalientViews(encoder.tokenizer, salience, cfg.seed, keep=keep)
    own_tokenizer = None if teacher is None else teacher.tokenizer
    if own_tokenizer is not None:
        own_tokenizer = own_tokenizer.shortened(cfg.data.max_query_length, cfg.data.max_passage_length)
    return ExtraTexts(
        loss.needs,
        corpora,
        languages,
        tokens=tokens,
        seed=cfg.seed,
        views=views,
        teacher=None if own_tokenizer is None else TokenizedTexts(own_tokenizer),
        teacher_language=cfg.loss.teacher_language,
        hard_negatives=cfg.data.hard_negatives,
    )
