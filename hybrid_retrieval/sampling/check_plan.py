"""Whether a strategy can be carried out on the data, before any batch is made."""

from collections.abc import Sequence

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.eligible import EligibleTriples
from hybrid_retrieval.sampling.strategies import BatchKind, HybridStrategy, Strategy
from hybrid_retrieval.sampling.triples import TripleSource


def check_languages(
    sources: Sequence[TripleSource], eligible: Sequence[EligibleTriples], languages: Sequence[str]
) -> None:
    """Check that every training language has data.

    Raises:
        UserError: a language has none.
    """
    for language in languages:
        if not any(
            language in s.languages and e.language_counts[languages.index(language)]
            for s, e in zip(sources, eligible, strict=True)
        ):
            names = ", ".join(f"'{s.name}' ({', '.join(s.languages)})" for s in sources)
            raise UserError(
                f"training language '{language}' has no data in {names}. Remove it from data.languages."
            )


def check_names(strategy: Strategy, sources: Sequence[TripleSource]) -> None:
    """Check that options for single data sets name data sets that there are.

    Raises:
        UserError: one does not.
    """
    own = strategy.alpha_of if isinstance(strategy, HybridStrategy) else {}
    names = [source.name for source in sources]
    for name in own:
        if name not in names:
            raise UserError(f"sampler.alpha_of: no data set is called '{name}'; known: {', '.join(names)}.")


def check_pairs(
    strategy: Strategy,
    sources: Sequence[TripleSource],
    eligible: Sequence[EligibleTriples],
    languages: Sequence[str],
) -> None:
    """Check that cross-lingual batches can be made, of every data set unless the strategy can do without.

    Raises:
        UserError: a data set has no pair of languages that it needs.
    """
    if BatchKind.CROSS_LINGUAL not in strategy.kinds():
        return
    own_alpha = strategy.alpha_of if isinstance(strategy, HybridStrategy) else {}
    # A hybrid plan may have data sets that are only ever monolingual, but not all of them.
    may_lack = BatchKind.MONOLINGUAL in strategy.kinds() and any(e.has_cross for e in eligible)
    for source, own in zip(sources, eligible, strict=True):
        if own.has_cross:
            continue
        if not may_lack:
            has = [code for code in languages if code in source.languages]
            rule = "" if strategy.pair_rule.all_equal else f" that {strategy.pair_rule} allows"
            raise UserError(
                f"sampler={strategy.name} pairs a query with a passage in another language, but data "
                f"set '{source.name}' has no triple in two training languages{rule} (it has: "
                f"{', '.join(has) or 'none'}). "
                "Use sampler=x_x_mono, or add parallel languages to data.languages."
            )
        if own_alpha.get(source.name, 1) != 1:
            raise UserError(
                f"sampler.alpha_of.{source.name}={own_alpha[source.name]}: the data set has no cross-lingual "
                "pair that may be drawn, so its batches can only be monolingual. Leave it out of "
                "sampler.alpha_of."
            )


def check_usable(
    strategy: Strategy,
    sources: Sequence[TripleSource],
    eligible: Sequence[EligibleTriples],
    languages: Sequence[str],
) -> None:
    """Check that the strategy can use some triple of every data set.

    Raises:
        UserError: a data set has none that it can use.
    """
    for source, own in zip(sources, eligible, strict=True):
        if len(own) == 0:
            raise UserError(
                f"sampler={strategy.name} can use no triple of data set '{source.name}': none has query and "
                f"passage in one of {', '.join(languages)}. Leave the data set out: "
                f"data.leave_out={source.name}, or shorten data.sets."
            )


def check_size(source: TripleSource, eligible: EligibleTriples, batch_size: int) -> None:
    """Check that a data set can fill a batch of each kind on its own.

    Raises:
        UserError: it cannot.
    """
    available = min(len(eligible), source.distinct_positives)
    if available < batch_size:
        raise UserError(
            f"global_batch_size={batch_size} is larger than data set '{source.name}', which "
            f"has {len(eligible)} usable training triples with {source.distinct_positives} different "
            "passages. "
            f"Use global_batch_size={available} or less, or more data."
        )
    kinds = eligible.strategy.kinds()
    if BatchKind.MONOLINGUAL in kinds and eligible.language_counts.max() < batch_size:
        raise UserError(
            f"no language of data set '{source.name}' has the {batch_size} triples that a "
            f"monolingual batch needs. Use global_batch_size={int(eligible.language_counts.max())} "
            "or less."
        )
    if BatchKind.CROSS_LINGUAL in kinds and eligible.cross_count < batch_size:
        raise UserError(
            f"only {eligible.cross_count} triples of data set '{source.name}' are in two languages that may "
            f"be paired, fewer than the {batch_size} of a cross-lingual batch. "
            f"Use global_batch_size={eligible.cross_count} or less."
        )


def notes(
    strategy: Strategy, sources: Sequence[TripleSource], eligible: Sequence[EligibleTriples]
) -> list[str]:
    """What a plan does that its options do not say, one sentence each."""
    if BatchKind.CROSS_LINGUAL not in strategy.kinds():
        return []
    return [
        f"data set '{source.name}' has no cross-lingual pair to draw: all its batches are monolingual"
        for source, own in zip(sources, eligible, strict=True)
        if not own.has_cross
    ]
