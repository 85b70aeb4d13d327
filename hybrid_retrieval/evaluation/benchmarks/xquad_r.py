"""XQuAD-R: 1,190 questions in each of 11 languages, answered by a sentence in each of them.

Source: LAReQA (arXiv 2004.05484).
"""

from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.lareqa import read_lareqa

SOURCE = (
    "The files are in the folder xquad-r of https://github.com/google-research-datasets/lareqa "
    "(CC BY-SA 4.0): LANG.json for LANG in ar de el en es hi ru th tr vi zh."
)


def xquad_r(path: Path, *, languages: Sequence[str] | None = None, candidate: str = "sentence") -> Benchmark:
    """Read XQuAD-R from LAReQA's files `LANG.json`.

    Every question has one relevant sentence in each language. Published numbers of candidates: ar 1,222,
    de 1,276, el 1,234, en 1,180, es 1,215, hi 1,244, ru 1,219, th 852, tr 1,167, vi 1,209, zh 1,196. With
    candidate="context" there are 240 paragraphs in each language.

    Args:
        path: the folder with the files.
        languages: ISO 639-1 codes to evaluate; None is every language that has a file.
        candidate: what a candidate is and its text: "sentence", "sentence+context" or "context", as
            `lareqa_benchmark` describes them.

    Raises:
        UserError: a file is missing or malformed, or `candidate` is unknown.
    """
    return read_lareqa("xquad_r", path, languages=languages, candidate=candidate, source=SOURCE)
