"""What each measure of language bias is called, means, and which values are good."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Measure:
    """How to read one measure.

    Attributes:
        title: for the head of a table's column or a figure's axis.
        better: which values are better; "neither" where the measure describes and does not judge.
        meaning: one sentence.
        unbiased: the value of a retriever without any preference for a language, where that is one number
            for every benchmark; else None.
    """

    title: str
    better: Direction
    meaning: str
    unbiased: float | None = None


BY_QUERY: Mapping[str, Measure] = MappingProxyType(
    {
        "rank_distance": Measure(
            "Rank distance",
            "lower",
            "How many ranks lie between the first and the last parallel answer of a query.",
        ),
        "peer": Measure(
            "PEER@100",
            "higher",
            "How probable it is that documents of all languages have the same expected rank in the top 100.",
        ),
        "lpr": Measure(
            "Language preference rate",
            "neither",
            "Share of the queries whose highest-ranked parallel answer is in the query's own language; "
            "without preference it is one over the number of languages.",
        ),
        "lang_ndcg@10": Measure(
            "Lang-nDCG@10",
            "higher",
            "nDCG@10 in the pool where an answer in the query's language is worth twice one in another.",
        ),
        "mrc@10": Measure(
            "MRC@10",
            "higher",
            "How alike the ten first candidates are, in order, for translations of one query; 1 is the same.",
            unbiased=1.0,
        ),
        "same_language_preference": Measure(
            "Same-language preference",
            "neither",
            "Share of the query's language in its ten first candidates less that language's share of the "
            "pool; above 0 the query's language is preferred, below 0 avoided.",
            unbiased=0.0,
        ),
        "top1_relevant_same_language": Measure(
            "First: answer, same language",
            "higher",
            "Share of the queries whose first candidate is an answer in the query's language.",
        ),
        "top1_relevant_other_language": Measure(
            "First: answer, other language",
            "neither",
            "Share of the queries whose first candidate is an answer in another language.",
        ),
        "top1_nonrelevant_same_language": Measure(
            "First: no answer, same language",
            "lower",
            "Share of the queries whose first candidate is in the query's language but no answer.",
        ),
        "top1_nonrelevant_other_language": Measure(
            "First: no answer, other language",
            "lower",
            "Share of the queries whose first candidate is neither an answer nor in the query's language.",
        ),
    }
)
"""By key of `language_bias` in metrics.json."""

BY_DOCUMENT_LANGUAGE: Mapping[str, Measure] = MappingProxyType(
    {
        "mean_rank": Measure(
            "Mean rank",
            "lower",
            "Mean rank in the pool of the answers in this language; equal over languages without bias.",
        ),
        "top_share@10": Measure(
            "Share of the top 10",
            "neither",
            "Share of this language among the ten first candidates; its share of the pool without bias.",
        ),
        "pool_share": Measure(
            "Share of the pool", "neither", "Share of this language among all candidates of the benchmark."
        ),
    }
)
"""By key of `per_document_language` in metrics.json."""
