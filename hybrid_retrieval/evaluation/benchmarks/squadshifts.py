"""SQuADShifts: English questions on paragraphs of four sources, in the manner of SQuAD 1.1.

Source: Miller et al., ICML 2020 (arXiv 2004.14444).
"""

from pathlib import Path

import numpy as np

from hybrid_retrieval.data.readers.fields import id_field, list_field, text_field
from hybrid_retrieval.data.readers.squad import squad_paragraphs
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark

SUBSETS = ("new_wiki", "nyt", "reddit", "amazon_reviews")
SOURCE = (
    "The files are in the folder datasets of https://github.com/modestyachts/squadshifts-website, which "
    "states no licence: SUBSET_v1.0.json for SUBSET in new_wiki, nyt, reddit, amazon_reviews."
)


def squadshifts(path: Path, *, subset: str = "new_wiki") -> Benchmark:
    """Read one subset: every question against the distinct paragraphs of the subset.

    Subsets are separate collections with a pool of their own, so each is a benchmark, `squadshifts_SUBSET`,
    of one language: the monolingual setting is all there is to it. A paragraph that the file holds twice
    is one candidate, relevant to the questions of both places; ids of candidates count the paragraphs
    of the file from 0.

    Counts (questions, paragraphs of the file, candidates): new_wiki 7,938, 1,581, 1,581; reddit 9,803, 2,035,
    2,033; amazon_reviews 9,885, 2,050, 2,050.

    Args:
        path: the folder with SUBSET_v1.0.json or SUBSET_v1.0.json.gz.
        subset: one of `SUBSETS`.

    Raises:
        UserError: the subset is unknown, or its file is missing or malformed, repeats a question id or has
            a question without an answer.
    """
    if subset not in SUBSETS:
        raise UserError(f"benchmark.subset={subset}: unknown subset. Use one of: {', '.join(SUBSETS)}.")
    file = _file(path, subset)
    position_of: dict[str, int] = {}
    candidate_ids: list[str] = []
    question_at: dict[str, str] = {}
    texts: list[str] = []
    relevant: list[int] = []
    unanswered: list[str] = []
    for number, paragraph in enumerate(squad_paragraphs(file)):
        position = position_of.setdefault(paragraph.context, len(candidate_ids))
        if position == len(candidate_ids):
            candidate_ids.append(str(number))
        for where, question in paragraph.questions:
            identifier = id_field(question, "id", where)
            first = question_at.setdefault(identifier, where)
            if first != where:
                raise UserError(
                    f"{where}: question id {identifier!r} is also in {first.removeprefix(f'{file}: ')}. "
                    "Give every question its own id."
                )
            if not list_field(question, "answers", where) or question.get("is_impossible"):
                unanswered.append(identifier)
            texts.append(text_field(question, "question", where))
            relevant.append(position)
    if not texts:
        raise UserError(f"{file}: holds no question. Get the file again. {SOURCE}")
    if unanswered:
        raise UserError(
            f"{file}: {len(unanswered)} of {len(texts)} questions have no answer, so that no passage is "
            f"relevant to them; the first is {unanswered[0]!r}. Remove them."
        )
    return Benchmark(
        name=f"squadshifts_{subset}",
        languages=("en",),
        query_ids=list(question_at),
        query_texts=texts,
        query_group=list(question_at),
        query_language=np.zeros(len(texts), dtype=np.int16),
        candidate_ids=candidate_ids,
        candidate_texts=list(position_of),
        candidate_language=np.zeros(len(candidate_ids), dtype=np.int16),
        relevant_offsets=np.arange(len(texts) + 1, dtype=np.int64),
        relevant=np.array(relevant, dtype=np.int64),
    )


def _file(folder: Path, subset: str) -> Path:
    names = [f"{subset}_v1.0.json", f"{subset}_v1.0.json.gz"]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise UserError(f"{folder} holds both {names[0]} and {names[1]}. Remove one of them.")
    if not found:
        has = [other for other in SUBSETS if any(folder.glob(f"{other}_v1.0.json*"))]
        hint = f"The folder has: {', '.join(has)}; choose with benchmark.subset=." if has else SOURCE
        raise UserError(
            f"{folder / names[0]}: no such file, nor {names[1]}. Set benchmark.path to the folder that holds "
            f"it. {hint}"
        )
    return found[0]
