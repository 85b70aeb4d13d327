"""XQuAD-R: 1,190 questions in each of 11 languages, answered by a sentence in each of them.

Source: LAReQA (arXiv 2004.05484).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.lareqa import Paragraph, language_files, read_paragraphs

SOURCE = (
    "The files are in the folder xquad-r of https://github.com/google-research-datasets/lareqa "
    "(CC BY-SA 4.0): LANG.json for LANG in ar de el en es hi ru th tr vi zh."
)

CANDIDATE_TEXTS: Mapping[str, Callable[[Paragraph], Sequence[str]]] = MappingProxyType(
    {"sentence": lambda paragraph: paragraph.sentences}
)
"""The texts of a paragraph's candidates, one for each of its sentences, by form of candidate."""


def xquad_r(path: Path, *, languages: Sequence[str] | None = None, candidate: str = "sentence") -> Benchmark:
    """Read XQuAD-R from LAReQA's files `LANG.json`.

    A candidate is an entry of `sentence_breaks`: none is dropped and equal texts stay several candidates,
    which gives the published counts. Relevant is, in every language that has the question (joined by
    question id), the sentence with start <= answer_start < end. Candidate ids are
    "LANG:paragraph:sentence", counted from 0 through the file.

    Args:
        path: the folder with the files.
        languages: ISO 639-1 codes to evaluate; None is every language that has a file.
        candidate: what a candidate's text is; "sentence" is the sentence alone.

    Raises:
        UserError: a file is missing or malformed, or `candidate` is unknown.
    """
    if candidate not in CANDIDATE_TEXTS:
        raise UserError(
            f"benchmark.candidate={candidate}: unknown form. Use one of: {', '.join(CANDIDATE_TEXTS)}."
        )
    files = language_files(path, languages, SOURCE)
    paragraphs = {code: read_paragraphs(file) for code, file in files.items()}
    return lareqa_benchmark("xquad_r", paragraphs, CANDIDATE_TEXTS[candidate])


def lareqa_benchmark(
    name: str,
    paragraphs: Mapping[str, Sequence[Paragraph]],
    candidate_texts: Callable[[Paragraph], Sequence[str]],
) -> Benchmark:
    """Make a benchmark of paragraphs by language; a question need not exist in every language.

    Args:
        name: the benchmark's name.
        paragraphs: by language code.
        candidate_texts: the text of each candidate of a paragraph, one a sentence.
    """
    languages = tuple(paragraphs)
    candidate_ids: list[str] = []
    texts: list[str] = []
    candidate_language: list[int] = []
    queries: list[tuple[int, str, str]] = []
    answers: dict[str, list[int]] = defaultdict(list)
    for index, code in enumerate(languages):
        for number, paragraph in enumerate(paragraphs[code]):
            first = len(candidate_ids)
            texts.extend(candidate_texts(paragraph))
            candidate_ids.extend(
                f"{code}:{number}:{sentence}" for sentence in range(len(paragraph.sentences))
            )
            candidate_language.extend([index] * len(paragraph.sentences))
            for question in paragraph.questions:
                queries.append((index, question.id, question.text))
                answers[question.id].extend(first + sentence for sentence in question.answers)
    relevant = [answers[group] for _, group, _ in queries]
    return Benchmark(
        name=name,
        languages=languages,
        query_ids=[f"{languages[index]}:{group}" for index, group, _ in queries],
        query_texts=[text for _, _, text in queries],
        query_group=[group for _, group, _ in queries],
        query_language=np.array([index for index, _, _ in queries], dtype=np.int16),
        candidate_ids=candidate_ids,
        candidate_texts=texts,
        candidate_language=np.array(candidate_language, dtype=np.int16),
        relevant_offsets=np.concatenate([[0], np.cumsum([len(of) for of in relevant])]).astype(np.int64),
        relevant=np.concatenate(relevant).astype(np.int64),
    )
