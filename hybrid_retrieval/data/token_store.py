"""The token sequences of corpora: tokenised once and mapped from disk, or at every look-up.

A table of token ids is kept for each (corpus, language, kind of text, tokenizer, prefix, greatest length) in
`tokens/` of the cache folder. It appears complete or not at all, and serves every later run, every loader
process and every rank. One process makes a table, while others that need it wait; what it leaves behind when
it is killed is removed by the next.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Protocol, get_args

import numpy as np

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.batch_progress import shown
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_table import TokenArray, TokenTable, write_tokens
from hybrid_retrieval.errors import StorageError, UserError
from hybrid_retrieval.evaluation.sources.lock import exclusive
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from hybrid_retrieval.sampling.triples import IntArray
from hybrid_retrieval.storage_errors import reason

logger = logging.getLogger(__name__)

KINDS: tuple[TextKind, ...] = get_args(TextKind)
FILES: Mapping[TextKind, str] = {"query": "queries", "passage": "passages"}
BATCH_TEXTS = 1024

Key = tuple[str, str, TextKind]


class TokensNotKeptError(UserError):
    """The cache cannot take the tokens."""


class TokenSource(Protocol):
    """Gives the token sequences of texts of a corpus by their ids; picklable."""

    tokenizer: TextTokenizer

    def __call__(
        self, corpus: ParallelCorpus, kind: TextKind, languages: Sequence[str], ids: IntArray
    ) -> list[TokenArray | None]:
        """Look up texts.

        Args:
            corpus: any split.
            kind: queries or passages.
            languages: the language of each text.
            ids: int64, query or passage ids; -1 for none.

        Returns:
            What `TextTokenizer` gives for each text; None where the id is -1 or the language lacks the text.
        """
        ...


class TokenizedTexts:
    """A `TokenSource` that reads and tokenises at every look-up.

    Args:
        tokenizer: with the prefixes and lengths to use.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(
        self, corpus: ParallelCorpus, kind: TextKind, languages: Sequence[str], ids: IntArray
    ) -> list[TokenArray | None]:
        """Tokenise texts; see `TokenSource`."""
        text_of = corpus.query_text_or_none if kind == "query" else corpus.passage_text
        texts = [
            text_of(language, row) if row >= 0 else None
            for language, row in zip(languages, ids.tolist(), strict=True)
        ]
        sequences = iter(self.tokenizer([text for text in texts if text is not None], kind))
        return [None if text is None else np.array(next(sequences), dtype=np.int32) for text in texts]


class TokenStore:
    """A `TokenSource` that looks up what `prepare_tokens` has tokenised.

    Args:
        tables: by fingerprint of the corpus, language and kind.
        tokenizer: that made them.
    """

    def __init__(self, tables: Mapping[Key, TokenTable], tokenizer: TextTokenizer) -> None:
        self.tables = dict(tables)
        self.tokenizer = tokenizer

    def __call__(
        self, corpus: ParallelCorpus, kind: TextKind, languages: Sequence[str], ids: IntArray
    ) -> list[TokenArray | None]:
        """Look up tokens; see `TokenSource`.

        Raises:
            ValueError: a corpus or a language that was not prepared.
        """
        tables = {language: self.table(corpus, language, kind) for language in set(languages)}
        found: list[TokenArray | None] = []
        for language, row in zip(languages, ids.tolist(), strict=True):
            table = tables[language]
            # Like the file of texts, a table ends with the last text that its language has.
            found.append(table[row] if 0 <= row < len(table) else None)
        return found

    def table(self, corpus: ParallelCorpus, language: str, kind: TextKind) -> TokenTable:
        """All texts of a kind in a language: row i is query or passage i, up to the last that it has."""
        try:
            return self.tables[corpus.fingerprint, language, kind]
        except KeyError:
            raise ValueError(f"{corpus.name} was not tokenised in {language!r}") from None


def text_count(corpora: Sequence[ParallelCorpus], languages: Sequence[str]) -> int:
    """How many texts `prepare_tokens` goes through, at most."""
    return sum(
        (corpus.counts["queries"] + corpus.counts["passages"]) * len(set(languages) & set(corpus.languages))
        for corpus in corpora
    )


def prepare_tokens(
    corpora: Sequence[ParallelCorpus],
    languages: Sequence[str],
    tokenizer: TextTokenizer,
    cache: Path,
    *,
    progress: bool = True,
) -> TokenStore:
    """Tokenise all texts of corpora in some languages, unless the cache has them.

    Memory does not grow with the number of texts. The tokenizer uses all cores.

    Args:
        corpora: any splits; all splits of a corpus are tokenised together.
        languages: those that a corpus lacks are passed over.
        tokenizer: with the prefixes and lengths to use.
        cache: the cache folder; the tables lie in `tokens/`.
        progress: whether to show a bar on a terminal, or else a line of log every 30 seconds.

    Returns:
        What looks them up.

    Raises:
        TokensNotKeptError: the cache cannot be written and does not have them.
    """
    maker = _Maker(tokenizer, tokenizer_fingerprint(tokenizer), cache / "tokens", progress)
    tables: dict[Key, TokenTable] = {}
    for corpus in {corpus.fingerprint: corpus for corpus in corpora}.values():
        for language in sorted(set(languages) & set(corpus.languages)):
            for kind in KINDS:
                tables[corpus.fingerprint, language, kind] = maker.table(corpus, language, kind)
    return TokenStore(tables, tokenizer)


def tokenizer_fingerprint(tokenizer: TextTokenizer) -> str:
    """Hex digest of what decides how a tokenizer cuts texts, but for prefixes and lengths."""
    model = json.loads(tokenizer.hf_tokenizer.backend_tokenizer.to_str())
    # State of the last call, not part of what the tokenizer is.
    model.pop("truncation", None)
    model.pop("padding", None)
    parts = [metadata.version("tokenizers"), model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class _Maker:
    """Finds or makes tables.

    Attributes:
        tokenizer: with the prefixes and lengths to use.
        fingerprint: of the tokenizer.
        root: where the tables lie.
        progress: whether to show it.
    """

    tokenizer: TextTokenizer
    fingerprint: str
    root: Path
    progress: bool

    @cached_property
    def vocabulary(self) -> int:
        return int(max(self.tokenizer.hf_tokenizer.get_vocab().values())) + 1

    def folder(self, corpus: ParallelCorpus, language: str, kind: TextKind) -> Path:
        limits = [self.tokenizer.prefixes[kind], self.tokenizer.max_length[kind]]
        parts = json.dumps([corpus.fingerprint, language, kind, self.fingerprint, *limits])
        key = hashlib.sha256(parts.encode()).hexdigest()[:24]
        return self.root / f"{corpus.name}-{language}-{FILES[kind]}-{key}"

    def table(self, corpus: ParallelCorpus, language: str, kind: TextKind) -> TokenTable:
        folder = self.folder(corpus, language, kind)
        if (found := _complete(folder)) is not None:
            return found
        label = f"tokenising {corpus.name}: {FILES[kind]} in {language}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = self.root / f".{folder.name}.lock"
            with exclusive(lock, lambda: logger.info("%s: waiting for another process", label)):
                if (found := _complete(folder)) is not None:
                    return found
                for path in self.root.iterdir():
                    if path.name.startswith((f".{folder.name}.new-", f".{folder.name}.old-")):
                        shutil.rmtree(path, ignore_errors=True)
                return self._make(folder, corpus.folder / FILES[kind] / f"{language}.arrow", kind, label)
        except (OSError, StorageError) as error:
            place = getattr(error, "filename", None) or self.root
            raise TokensNotKeptError(
                f"{place}: {reason(error)}. Make room for it, give another cache folder with "
                "paths.cache=..., or tokenise at every step with data.tokenize_once=false."
            ) from error

    def _make(self, folder: Path, file: Path, kind: TextKind, label: str) -> TokenTable:
        started = time.perf_counter()
        texts = MappedTexts(file)
        with atomic_folder(folder) as new, _all_cores():
            made_now = ((batch, len(batch)) for batch in _tokenised(texts, kind, self.tokenizer))
            title = label if self.progress else None
            batches = shown(made_now, len(texts), "texts", title, transient=True)
            write_tokens(new, batches, self.vocabulary)
        made = TokenTable(folder)
        seconds = time.perf_counter() - started
        logger.debug(
            "%s: %s tokens of %s texts in %.1f s", label, f"{made.tokens:,}", f"{len(made):,}", seconds
        )
        return made


def _complete(folder: Path) -> TokenTable | None:
    try:
        return TokenTable(folder)
    except UserError:
        return None


def _tokenised(
    texts: Iterable[str | None], kind: TextKind, tokenizer: TextTokenizer
) -> Iterator[list[list[int] | None]]:
    rest = iter(texts)
    while batch := list(islice(rest, BATCH_TEXTS)):
        sequences = iter(tokenizer([text for text in batch if text is not None], kind))
        yield [None if text is None else next(sequences) for text in batch]


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let the tokenizer use its threads, which the command line turns off for loader processes."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        # Never unset: after the threads were used, a fork would switch them off with a warning.
        os.environ[name] = before if before is not None else "false"
