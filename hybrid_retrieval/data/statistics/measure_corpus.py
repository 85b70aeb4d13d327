"""The statistics of a prepared corpus.

They are a JSON object:

    schema                  1
    name, corpus, fingerprint, source       of the corpus' manifest; the name of its folder
    tokenizer               {name, query_limit, passage_limit}: tokens after which a text is cut
    sample                  texts of a kind and language, at most, on which lengths and scripts are measured
    triples                 {train: n, validation: n, test: n}
    in_languages            {"3": n, ...}: triples with both texts in so many languages, over all splits
    hard_negatives          {train: {min, 5%, ..., max} or null, ...}: of a triple
    languages               {code: LANGUAGE}
    total                   the sums of LANGUAGE over all languages, and quantiles of all lengths together
    equal_in_two_languages  {queries: EQUAL, passages: EQUAL}, as `duplicates.equal_in_two` says
    cleaning                what `data.clean` removed, with examples: `data.cleaning.report`; or null

    LANGUAGE    rows                {train: n, ...}: triples with both texts in the language
                distinct_rows       different pairs of a query and a passage id among them
                repeated_rows       {exact: FINDING, normalised: FINDING} of those pairs, by their texts
                queries, passages   TEXTS
    TEXTS       texts               how many ids have one
                sampled, tokens, characters, limit, too_long    as `sampled.Lengths.summary` says
                repeated            {exact: FINDING, normalised: FINDING}: one text under several ids
                blank               FINDING: texts without a letter or digit
                other_script        FINDING with `scripts`: suspects among those sampled, as `scripts` says
    FINDING     {count, examples}: examples are ids of the source, pairs of ids where something is repeated

`normalised` is after `data.cleaning.normalise`. `total` has no examples. `count` is what there would be
less of if each thing were kept once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus, read_manifest
from hybrid_retrieval.data.progress import Bar, Progress
from hybrid_retrieval.data.statistics.duplicates import (
    EXAMPLES,
    PART,
    Names,
    equal_in_two,
    pair_hashes,
    repeats,
    text_pairs,
)
from hybrid_retrieval.data.statistics.sampled import Lengths, evenly_spaced, measure, quantiles_of_counts
from hybrid_retrieval.data.statistics.text_hashes import HashArray, HashedTexts
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer

SCHEMA = 1
KINDS: Mapping[str, TextKind] = {"queries": "query", "passages": "passage"}


def measure_corpus(
    folder: Path, tokenizer: TextTokenizer, backbone: str, sample: int, progress: Progress
) -> dict[str, Any]:
    """Measure a prepared corpus; the same corpus gives the same statistics.

    Counts of texts and of equal texts are exact. Memory holds 8 bytes for each text of each language; and of
    one language at a time about 60 for each pair of a query and a positive, and 60 for each text.

    Args:
        folder: of the corpus.
        tokenizer: whose tokens are counted, with its limits.
        backbone: what the user calls the model that it belongs to.
        sample: at most so many evenly spaced texts of a kind and language have lengths and script measured.
        progress: where to show it.

    Returns:
        The object that this module describes.
    """
    splits = [ParallelCorpus.open(folder, split) for split in SPLITS]
    corpus, manifest = splits[0], read_manifest(folder)
    files = [folder / kind / f"{code}.arrow" for kind in KINDS for code in corpus.languages]
    bar = Bar(progress, f"{corpus.name}: statistics", sum(file.stat().st_size for file in files))
    names = {kind: partial(_names, MappedTexts(folder / "ids" / f"{kind}.arrow")) for kind in KINDS}
    languages: dict[str, dict[str, Any]] = {code: _rows(splits, code) for code in corpus.languages}
    lengths: dict[str, list[Lengths]] = {kind: [] for kind in KINDS}
    queries: dict[str, HashedTexts] = {}
    equal = {}
    for kind, text_kind in KINDS.items():
        exact: list[HashArray] = []
        for code in corpus.languages:
            path = folder / kind / f"{code}.arrow"
            hashed = HashedTexts.read(path, int(corpus.counts[kind]), bar)
            ids = hashed.ids()
            chosen = ids[evenly_spaced(len(ids), sample)]
            measured, suspects = measure(path, chosen, text_kind, code, tokenizer, names[kind])
            lengths[kind].append(measured)
            languages[code][kind] = {
                **_texts(hashed, names[kind]),
                **measured.summary(tokenizer.max_length[text_kind]),
                "other_script": suspects,
            }
            exact.append(hashed.exact)
            if kind == "queries":
                queries[code] = hashed
            else:
                languages[code] |= _repeated_rows(splits, code, queries.pop(code), hashed, names["queries"])
        equal[kind] = equal_in_two(exact, corpus.languages, names[kind])
    total = _total(list(languages.values()))
    for kind, text_kind in KINDS.items():
        total[kind] |= Lengths.joined(lengths[kind]).summary(tokenizer.max_length[text_kind])
    return {
        "schema": SCHEMA,
        "name": corpus.name,
        "corpus": folder.name,
        "fingerprint": corpus.fingerprint,
        "source": dict(manifest.source),
        "tokenizer": {
            "name": backbone,
            **{f"{kind}_limit": tokenizer.max_length[kind] for kind in KINDS.values()},
        },
        "sample": sample,
        "triples": {part.split: len(part) for part in splits},
        "in_languages": _in_languages(splits),
        "hard_negatives": {part.split: _negatives(part) for part in splits},
        "languages": languages,
        "total": total,
        "equal_in_two_languages": equal,
        "cleaning": manifest.cleaning,
    }


def _names(ids: MappedTexts, numbers: Sequence[int]) -> list[str]:
    return [str(ids[number]) for number in numbers]


def _rows(splits: Sequence[ParallelCorpus], language: str) -> dict[str, Any]:
    column = splits[0].languages.index(language)
    counts = {
        part.split: int((part.availability.both()[:, column] * part.availability.counts()).sum())
        for part in splits
    }
    return {"rows": counts}


def _negatives(part: ParallelCorpus) -> dict[str, int] | None:
    """Quantiles of the number of hard negatives of a triple."""
    found = Counter[int]()
    for start in range(0, len(part), PART):
        counts = part.negative_counts(np.arange(start, min(start + PART, len(part))))
        found.update(dict(zip(*map(np.ndarray.tolist, np.unique(counts, return_counts=True)), strict=True)))
    numbers = sorted(found)
    return quantiles_of_counts(np.array(numbers), np.array([found[number] for number in numbers]))


def _in_languages(splits: Sequence[ParallelCorpus]) -> dict[str, int]:
    numbers: dict[int, int] = {}
    for part in splits:
        for number, triples in part.triples_by_languages().items():
            numbers[number] = numbers.get(number, 0) + triples
    return {str(number): numbers[number] for number in sorted(numbers, reverse=True)}


def _texts(hashed: HashedTexts, names: Names) -> dict[str, Any]:
    ids = hashed.ids()
    return {
        "texts": len(ids),
        "repeated": {
            "exact": repeats(hashed.exact[ids], ids, names),
            "normalised": repeats(hashed.normalised[ids], ids, names),
        },
        "blank": {"count": len(hashed.blank), "examples": names(hashed.blank[:EXAMPLES].tolist())},
    }


def _repeated_rows(
    splits: Sequence[ParallelCorpus], language: str, queries: HashedTexts, passages: HashedTexts, names: Names
) -> dict[str, Any]:
    of_query, of_passage = text_pairs(splits, language)
    return {
        "distinct_rows": len(of_query),
        "repeated_rows": {
            name: repeats(
                pair_hashes(getattr(queries, name)[of_query], getattr(passages, name)[of_passage]),
                of_query,
                names,
            )
            for name in ("exact", "normalised")
        },
    }


def _total(languages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of all languages together."""

    def add(parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], Mapping):
            keys = [
                key for key in parts[0] if key not in ("examples", "tokens", "characters", "scripts", "limit")
            ]
            return {key: add([part[key] for part in parts]) for key in keys}
        return int(np.sum(parts))

    total: dict[str, Any] = add(languages)
    return total
