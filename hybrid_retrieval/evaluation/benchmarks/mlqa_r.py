"""MLQA-R: questions in 7 languages, each of which exists in two to four of them.

Source: LAReQA (arXiv 2004.05484), made from the development set of MLQA (arXiv 1910.07475).
"""

from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.lareqa import read_lareqa

SOURCE = (
    "The files are in the folder mlqa-dev-r of https://github.com/google-research-datasets/lareqa "
    "(CC BY-NC 4.0): LANG.json for LANG in ar de en es hi vi zh."
)


def mlqa_r(path: Path, *, languages: Sequence[str] | None = None, candidate: str = "sentence") -> Benchmark:
    """Read MLQA-R from LAReQA's files `LANG.json`.

    Published counts:

    | | ar | de | en | es | hi | vi | zh |
    | --- | --- | --- | --- | --- | --- | --- | --- |
    | questions | 517 | 512 | 1,148 | 500 | 507 | 511 | 504 |
    | candidates | 2,545 | 2,362 | 6,264 | 1,787 | 2,426 | 2,828 | 2,322 |

    A question exists in English and in one to three other languages, and a language holds a question
    together with its answer. What counts where:

    - monolingual: every question of X against the candidates of X;
    - cross-lingual, a pair (X, Y): the questions of X that Y has too, against all candidates of Y. The other
      questions of X have nothing to find there and are left out, so that the pairs differ in the number
      of their questions. The macro average weighs every pair alike; a pair without any question in
      common is left out of it;
    - multilingual: every question of X against the pool of all languages; relevant are its two to four
      answers (fewer if `languages` leaves out some, one at the least);
    - rank distance: the questions with at least two answers in the pool.

    Args:
        path: the folder with the files.
        languages: ISO 639-1 codes to evaluate; None is every language that has a file.
        candidate: what a candidate is and its text: "sentence", "sentence+context" or "context", as
            `lareqa_benchmark` describes them.

    Raises:
        UserError: a file is missing or malformed, or `candidate` is unknown.
    """
    return read_lareqa("mlqa_r", path, languages=languages, candidate=candidate, source=SOURCE)
