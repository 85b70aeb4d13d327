"""The terms of an objective by name: what each needs of a batch, and how it is called."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hybrid_retrieval.losses.pair_ids import Answers
from hybrid_retrieval.losses.terms.alignment import alignment
from hybrid_retrieval.losses.terms.distillation import distillation
from hybrid_retrieval.losses.terms.language_adversary import LanguageAdversary
from hybrid_retrieval.losses.terms.language_centring import language_centring
from hybrid_retrieval.losses.terms.salient_view import salient_view
from hybrid_retrieval.losses.terms.score_agreement import score_agreement
from hybrid_retrieval.losses.terms.variance import variance


@dataclass(frozen=True)
class ExtraInputs:
    """What terms may need of a rank's batch beyond InfoNCE's inputs; None where it is not at hand.

    Attributes:
        query_languages: (b,) int64.
        passage_languages: (b * (1 + k),) int64.
        teacher_queries: (b, t) float32, L2-normalised embeddings of the same texts by a teacher.
        teacher_passages: (b * (1 + k), t).
        parallel_queries: (b, d) float32, L2-normalised; each query in another language, or the query itself
            where there is none.
        parallel_passages: (b, d), each positive in another language, or itself.
        salient_passages: (b, d), each positive with its salient tokens only.
        passage_remainders: (b, d), each positive with the other tokens only.
    """

    query_languages: Tensor | None = None
    passage_languages: Tensor | None = None
    teacher_queries: Tensor | None = None
    teacher_passages: Tensor | None = None
    parallel_queries: Tensor | None = None
    parallel_passages: Tensor | None = None
    salient_passages: Tensor | None = None
    passage_remainders: Tensor | None = None


EXTRAS = tuple(ExtraInputs.__dataclass_fields__)
PASSAGE_ROWS = ("passage_languages", "teacher_passages")
TEACHER = ("teacher_queries", "teacher_passages")


@dataclass(frozen=True)
class GlobalInputs:
    """The global batch, without padding; `extra` as in `ExtraInputs`, of all ranks.

    A term with negatives takes none from `answers`: `passage_answers` for each passage, `pair_answers` for
    each pair. The others treat no passage as a negative, so that a query with two positives in the batch is
    two pairs like any.
    """

    queries: Tensor
    passages: Tensor
    positives: Tensor
    positive_ids: Tensor
    passage_ids: Tensor
    answers: Answers
    extra: Mapping[str, Tensor]

    @property
    def passage_answers(self) -> Tensor:
        """Whether each passage answers each query, bool (b, m)."""
        return self.answers.among(self.passage_ids)

    @property
    def pair_answers(self) -> Tensor:
        """Whether the positive of each pair answers the query of each pair (rows), bool (b, b)."""
        return self.answers.among(self.positive_ids)


@dataclass(frozen=True)
class Term:
    """One term of an objective.

    Attributes:
        needs: fields of `ExtraInputs`.
        source: the function or, for a term with parameters of its own, the module; what it takes by keyword
            only are the term's options.
        compute: calls it with the global batch and the options; with the module instead, where there is one.
        needs_with: fields that are needed only if an option is not 0.
        text_options: further options and their defaults, for those who make the texts.
        across_languages: whether the term has no effect with one training language.
        trained: whether it has parameters of its own.
    """

    needs: tuple[str, ...]
    source: Callable[..., Any]
    compute: Callable[..., Tensor]
    needs_with: Mapping[str, str] = field(default_factory=dict)
    text_options: Mapping[str, Any] = field(default_factory=dict)
    across_languages: bool = False
    trained: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """All options with their defaults."""
        parameters = inspect.signature(self.source).parameters
        own = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
        return own | dict(self.text_options)

    def needed(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Fields of `ExtraInputs` that the term needs with these options."""
        values = self.options | dict(options)
        return (*self.needs, *(extra for option, extra in self.needs_with.items() if values[option]))


def _language_centring(x: GlobalInputs) -> Tensor:
    queries = language_centring(x.queries, x.extra["query_languages"])
    return (queries + language_centring(x.passages, x.extra["passage_languages"])) / 2


def _language_adversary(x: GlobalInputs, adversary: LanguageAdversary) -> Tensor:
    queries: Tensor = adversary(x.queries, x.extra["query_languages"])
    passages: Tensor = adversary(x.passages, x.extra["passage_languages"])
    return (queries + passages) / 2


def _teacher_alignment(x: GlobalInputs, **options: Any) -> Tensor:
    """Multilingual knowledge distillation (arXiv 2004.09813): the student's texts at the teacher's."""
    passage_is = x.passage_ids[:, None] == x.passage_ids
    queries = alignment(x.queries, x.extra["teacher_queries"], x.pair_answers, **options)
    return (queries + alignment(x.passages, x.extra["teacher_passages"], passage_is, **options)) / 2


_LANGUAGES = ("query_languages", "passage_languages")
TERMS: Mapping[str, Term] = {
    "variance": Term(
        (),
        variance,
        lambda x, **options: variance(x.queries, x.passages, x.passage_answers, **options),
    ),
    "language_centring": Term(_LANGUAGES, language_centring, _language_centring, across_languages=True),
    "language_adversary": Term(
        _LANGUAGES, LanguageAdversary, _language_adversary, across_languages=True, trained=True
    ),
    "distillation": Term(
        TEACHER,
        distillation,
        lambda x, **options: distillation(
            x.queries, x.passages, x.extra["teacher_queries"], x.extra["teacher_passages"], **options
        ),
    ),
    "teacher_alignment": Term(TEACHER, alignment, _teacher_alignment),
    "query_alignment": Term(
        ("parallel_queries",),
        alignment,
        lambda x, **options: alignment(x.queries, x.extra["parallel_queries"], x.pair_answers, **options),
        across_languages=True,
    ),
    "passage_alignment": Term(
        ("parallel_passages",),
        alignment,
        lambda x, **options: alignment(x.positives, x.extra["parallel_passages"], x.pair_answers, **options),
        across_languages=True,
    ),
    "score_agreement": Term(
        ("parallel_queries",),
        score_agreement,
        lambda x, **options: score_agreement(x.queries, x.extra["parallel_queries"], x.passages, **options),
        across_languages=True,
    ),
    "salient_view": Term(
        ("salient_passages",),
        salient_view,
        lambda x, **options: salient_view(
            x.positives,
            x.extra["salient_passages"],
            x.pair_answers,
            x.extra.get("passage_remainders"),
            **options,
        ),
        needs_with={"independence": "passage_remainders"},
        text_options={"keep": 0.8},
    ),
}
