"""The texts that terms of the loss need beyond the pairs of a batch."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.salience import SalientViews
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenSource
from hybrid_retrieval.data.token_table import TokenArray
from hybrid_retrieval.models.text_tokenizer import TextKind
from hybrid_retrieval.sampling.counter_random import stream_key, uniforms
from hybrid_retrieval.sampling.global_batch import GlobalBatch
from hybrid_retrieval.sampling.triples import IntArray

_PARALLEL: tuple[tuple[str, TextKind], ...] = (
    ("parallel_queries", "query"),
    ("parallel_passages", "passage"),
)
_TEACHER = ("teacher_queries", "teacher_passages")
_VIEWS = ("salient_passages", "passage_remainders")


@dataclass
class Extra:
    """What `ExtraTexts` found.

    Attributes:
        sequences: token sequences by the field of `ExtraInputs` that their embeddings go to.
        translated: by field, the share of rows that have a text in another language, not the text itself.
    """

    sequences: dict[str, Sequence[TokenArray]] = field(default_factory=dict)
    translated: dict[str, float] = field(default_factory=dict)


class ExtraTexts:
    """Finds the further texts of a global batch, or of a rank's slice of it; picklable.

    - `parallel_queries`, `parallel_passages`: each query (positive) in another training language that has it,
      drawn uniformly as a pure function of (seed, step, row of the global batch), or itself.
    - `salient_passages`, `passage_remainders`: the two parts of each positive (`SalientViews`).
    - `teacher_queries`, `teacher_passages`: the batch's own texts for the teacher, in `teacher_language`
      where a text is there in it, and in the teacher's own tokens.

    Args:
        needs: fields of `ExtraInputs` in use; those that are no texts are passed over.
        corpora: the data sets, in the plan's order.
        languages: the plan's languages.
        tokens: of the backbone's tokenizer.
        seed: of the run.
        views: needed for the parts of positives.
        teacher: of the teacher's tokenizer, where it is another one; None: the teacher takes the backbone's
            tokens.
        teacher_language: that the teacher reads all texts in; None: each in its own.
        hard_negatives: k, hard negatives of each triple.
    """

    def __init__(
        self,
        needs: Collection[str],
        corpora: Sequence[ParallelCorpus],
        languages: Sequence[str],
        *,
        tokens: TokenSource,
        seed: int,
        views: SalientViews | None = None,
        teacher: TokenizedTexts | None = None,
        teacher_language: str | None = None,
        hard_negatives: int = 0,
    ) -> None:
        self.needs = frozenset(needs)
        self.corpora = list(corpora)
        self.languages = tuple(languages)
        self.tokens = tokens
        self.seed = seed
        self.views = views
        self.teacher = teacher
        self.teacher_language = teacher_language
        self.hard_negatives = hard_negatives

    def __call__(self, batch: GlobalBatch) -> Extra:
        """Look up the texts of a batch."""
        whole = Extra()
        sequences: dict[str, dict[int, TokenArray]] = {}
        for dataset, at, pairs in batch.by_dataset():
            part = self._of_dataset(pairs, self.corpora[dataset])
            for name, found in part.sequences.items():
                places = self._places(name, at, len(batch))
                sequences.setdefault(name, {}).update(zip(places.tolist(), found, strict=True))
            for name, share in part.translated.items():
                whole.translated[name] = whole.translated.get(name, 0.0) + share * len(at) / len(batch)
        whole.sequences = {name: [found[i] for i in range(len(found))] for name, found in sequences.items()}
        return whole

    def _places(self, name: str, at: IntArray, pairs: int) -> IntArray:
        """Where the texts of the pairs `at` stand among those of all pairs."""
        if name != "teacher_passages":
            return at
        k = self.hard_negatives
        return np.concatenate([at, (pairs + at[:, None] * k + np.arange(k)).reshape(-1)])

    def _of_dataset(self, batch: GlobalBatch, corpus: ParallelCorpus) -> Extra:
        extra = Extra()
        rows = batch.rows
        for name, kind in _PARALLEL:
            if name in self.needs:
                own = batch.query_languages if kind == "query" else batch.passage_languages
                u = uniforms(stream_key(self.seed, name, batch.step), rows)
                found = other_languages(corpus, self.languages, batch.triples, kind, own=own, u=u)
                extra.sequences[name] = self._texts(batch, corpus, kind, found)
                extra.translated[name] = float((found != own).mean())
        if self.views is not None and not self.needs.isdisjoint(_VIEWS):
            positives = self._texts(batch, corpus, "passage", batch.passage_languages)
            parts = self.views.split(positives, batch.step, rows, batch.passage_languages)
            extra.sequences |= {n: part for n, part in zip(_VIEWS, parts, strict=True) if n in self.needs}
        own_texts = self.teacher is None and self.teacher_language is None  # which the batch has already
        if not own_texts and not self.needs.isdisjoint(_TEACHER):
            extra.sequences |= self._teacher_texts(batch, corpus, self.teacher or self.tokens)
        return extra

    def _texts(
        self, batch: GlobalBatch, corpus: ParallelCorpus, kind: TextKind, languages: IntArray
    ) -> list[TokenArray]:
        """Queries or positives in these languages, which have them."""
        ids = corpus.queries(batch.triples) if kind == "query" else corpus.positives(batch.triples)
        found = self.tokens(corpus, kind, [self.languages[i] for i in languages], ids)
        there = [sequence for sequence in found if sequence is not None]
        if len(there) != len(found):
            raise ValueError(f"{corpus.name} lacks a {kind} that it says it has")
        return there

    def _teacher_texts(
        self, batch: GlobalBatch, corpus: ParallelCorpus, tokens: TokenSource
    ) -> dict[str, Sequence[TokenArray]]:
        """As the collator has them: positives, hard negatives, an empty passage where one is missing."""
        query_codes = [self.languages[i] for i in batch.query_languages]
        codes = [self.languages[i] for i in batch.passage_languages]
        codes += [code for code in codes for _ in range(self.hard_negatives)]
        ids = np.concatenate(
            [
                corpus.positives(batch.triples),
                corpus.negatives(batch.triples, self.hard_negatives).reshape(-1),
            ]
        )
        query_ids = corpus.queries(batch.triples)
        return {
            "teacher_queries": self._as_read(tokens, corpus, "query", query_codes, query_ids),
            "teacher_passages": self._as_read(tokens, corpus, "passage", codes, ids),
        }

    def _as_read(
        self, tokens: TokenSource, corpus: ParallelCorpus, kind: TextKind, codes: list[str], ids: IntArray
    ) -> list[TokenArray]:
        """Texts in the teacher's language, in their own where it lacks them."""
        found: list[TokenArray | None] = [None] * len(codes)
        if self.teacher_language in corpus.languages:
            found = tokens(corpus, kind, [self.teacher_language] * len(codes), ids)
        missing = [row for row, text in enumerate(found) if text is None]
        own = tokens(corpus, kind, [codes[row] for row in missing], ids[missing])
        for row, text in zip(missing, own, strict=True):
            found[row] = text
        return [np.array(tokens.tokenizer([""], kind)[0]) if text is None else text for text in found]


def other_languages(
    corpus: ParallelCorpus,
    languages: Sequence[str],
    triples: IntArray,
    kind: TextKind,
    *,
    own: IntArray,
    u: npt.NDArray[np.float64],
) -> IntArray:
    """For each text another language that has it, or its own where there is none.

    Args:
        corpus: the data set.
        languages: to draw from.
        triples: int64 (b,).
        kind: their queries, or their positives.
        own: int64 (b,), the language of each text, index into `languages`.
        u: (b,), uniform numbers in (0, 1).

    Returns:
        int64 (b,), index into `languages`.
    """
    stored = corpus.availability
    table = (stored.query if kind == "query" else stored.passage)[stored.run_of(triples)]
    exists = np.zeros((len(triples), len(languages)), dtype=np.int64)
    for column, code in enumerate(languages):
        if code in corpus.languages:
            exists[:, column] = table[:, corpus.languages.index(code)]
    exists[np.arange(len(triples)), own] = 0
    cumulative = exists.cumsum(axis=1)
    drawn = np.floor(u * cumulative[:, -1]).astype(np.int64)
    found = (cumulative <= drawn[:, None]).sum(axis=1)
    return np.where(cumulative[:, -1] > 0, found, own)
