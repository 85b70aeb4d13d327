"""Cleaning a corpus that is read and joined: the switches of `data.clean`.

A row is a question and its passage in one language. What a switch removes, it removes in that language alone,
so that the triple exists in fewer languages; `decontaminate` removes a triple in all languages, for a
translation says the same. A triple of which no language has a question, or none a passage, is gone. Texts
stay where they are, also as hard negatives of other rows.

The switches act in the order of `settings.SWITCHES`, each on what the ones before left. Of two rows that
repeat each other the earlier stays, and rows of the test split come before those of validation, these before
train: what is evaluated on stays, and train loses its copy.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.examples import Examples
from hybrid_retrieval.data.cleaning.report import merged, said
from hybrid_retrieval.data.cleaning.rows import PART, LanguageRows
from hybrid_retrieval.data.cleaning.settings import Cleaning
from hybrid_retrieval.data.cleaning.texts import KINDS, Measured, measure
from hybrid_retrieval.data.cleaning.untranslated import copies
from hybrid_retrieval.data.join import Joined
from hybrid_retrieval.data.joined_triples import TripleFiles
from hybrid_retrieval.data.language_stages import Count, Task, cores, run_tasks
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.split_arrays import LanguageSets
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.sampling.triples import BoolArray

REMOVED, REPORT = "removed.npy", "report.json"


@dataclass(frozen=True)
class Cleaned:
    """What is left.

    Attributes:
        kept: of every triple, the languages whose row stays.
        report: as `report.merged` says.
    """

    kept: LanguageSets
    report: dict[str, Any]


def clean(
    name: str,
    languages: Sequence[str],
    stages: Stages,
    joined: Joined,
    *,
    drawn: npt.NDArray[np.int8],
    cleaning: Cleaning,
    progress: Progress,
) -> Cleaned:
    """Find the rows to remove, language by language; what a killed run has finished is not done again.

    Args:
        name: of the data set.
        languages: in the order of `joined`.
        stages: of the build, with the texts in `corpus` in the order of the joined ids.
        joined: the ids.
        drawn: int8 (passages,), split of the triples that state none, by their passage.
        cleaning: the switches; some are on.
        progress: where to say what is done.
    """
    if not stages.complete("clean-triples"):
        _write_used(stages, joined, drawn)
    sizes = {
        code: sum((stages.folder / "corpus" / kind / f"{code}.arrow").stat().st_size for kind in KINDS)
        for code in languages
    }
    numbers = len(joined.queries), len(joined.passages)
    for stage, function, label in (
        ("clean-texts", partial(_measure, stages, cleaning, numbers), "texts"),
        ("clean-rows", partial(_rows, stages, cleaning, list(languages)), "rows"),
    ):
        if stage == "clean-rows" and not stages.complete("clean-languages"):
            _across_languages(stages, languages, cleaning)
        left = [code for code in languages if not stages.complete(f"{stage}-{code}")]
        tasks = [Task(function, (code,)) for code in left]
        run_tasks(tasks, cores(), progress, f"{name}: cleaning {label}", sum(sizes[code] for code in left))
    reports = {
        code: json.loads((stages.folder / "cleaning" / "rows" / code / REPORT).read_bytes())
        for code in languages
    }
    report = merged(reports, cleaning.settings)
    for switch in cleaning.settings.on:
        progress.say(f"{name}: {said(switch, report)}")
    return Cleaned(_kept(stages, languages), report)


def _write_used(stages: Stages, joined: Joined, drawn: npt.NDArray[np.int8]) -> None:
    """Write which texts triples have."""
    folder, triples = stages.empty("cleaning/triples"), TripleFiles(stages.folder / "triples")
    for kind, column, table in (
        ("queries", "query", joined.queries),
        ("passages", "positive", joined.passages),
    ):
        used = np.zeros(len(table), dtype=np.bool_)
        for part in triples.parts(PART):
            used[triples.column(column, part.start, part.stop)] = True
        np.save(folder / f"{kind}.npy", np.flatnonzero(used), allow_pickle=False)
    np.save(folder / "drawn.npy", drawn, allow_pickle=False)
    stages.finish("clean-triples", [folder])


def _measure(
    stages: Stages, cleaning: Cleaning, numbers: tuple[int, int], language: str, count: Count
) -> None:
    folder, settings = stages.empty(f"cleaning/texts/{language}"), cleaning.settings
    for (kind, text), size in zip(KINDS.items(), numbers, strict=True):
        path = stages.folder / "corpus" / kind / f"{language}.arrow"
        used = np.load(stages.folder / "cleaning" / "triples" / f"{kind}.npy", allow_pickle=False)
        advance = _in_bytes(count, path.stat().st_size, len(used))
        bounds = getattr(settings, f"min_{text}_chars"), getattr(settings, f"max_{text}_chars")
        texts = MappedTexts(path)
        against = cleaning.decontamination
        measured = measure(texts, used, size, language, bounds=bounds, against=against, count=advance)
        measured.save(folder, kind)
    stages.finish(f"clean-texts-{language}", [folder])


def _in_bytes(count: Count, size: int, texts: int) -> Callable[[int], None]:
    def advance(done: int) -> None:
        count(size * done // texts)

    return advance


def _across_languages(stages: Stages, languages: Sequence[str], cleaning: Cleaning) -> None:
    """Write which texts are contaminated in some language, and each language's untranslated copies."""
    measured = {code: _measured(stages, code) for code in languages}
    folder = stages.empty("cleaning/languages")
    for kind in KINDS:
        of_languages = (measured[code][kind].contaminated for code in languages)
        contaminated = np.asarray(next(of_languages)).copy()
        for other in of_languages:
            contaminated |= other
        np.save(folder / f"{kind}_contaminated.npy", contaminated, allow_pickle=False)
    if cleaning.settings.same_text:
        passages = stages.folder / "corpus" / "passages"
        texts = {code: MappedTexts(passages / f"{code}.arrow") for code in languages}
        hashes = [measured[code]["passages"].hashes for code in languages]
        of_each = copies(hashes, languages, lambda code, passage: texts[code][passage] or "")
        for code, found in zip(languages, of_each, strict=True):
            np.save(folder / f"{code}_copies.npy", found, allow_pickle=False)
    stages.finish("clean-languages", [folder])


def _measured(stages: Stages, language: str) -> dict[str, Measured]:
    folder = stages.folder / "cleaning" / "texts" / language
    return {kind: Measured.load(folder, kind) for kind in KINDS}


def _rows(stages: Stages, cleaning: Cleaning, languages: list[str], language: str, count: Count) -> None:
    root, folder = stages.folder / "cleaning", stages.empty(f"cleaning/rows/{language}")
    drawn = np.load(root / "triples" / "drawn.npy", allow_pickle=False)
    triples = TripleFiles(stages.folder / "triples")
    measured = _measured(stages, language)
    rows = LanguageRows(triples, drawn, languages.index(language), len(languages), measured)
    copied = {code: _copies(root / "languages" / f"{code}_copies.npy", len(drawn)) for code in languages}
    rows.remove_by_texts(
        {
            kind: np.load(root / "languages" / f"{kind}_contaminated.npy", allow_pickle=False)
            for kind in KINDS
        },
        copied[language],
    )
    count(0)
    if cleaning.settings.exact_duplicates:
        rows.remove_exact_duplicates()
    count(0)
    passages = stages.folder / "corpus" / "passages" / f"{language}.arrow"
    if (threshold := cleaning.settings.near_duplicates) is not None:
        rows.remove_near_duplicates(MappedTexts(passages), threshold, folder, language)
    np.save(folder / REMOVED, rows.removed, allow_pickle=False)
    passages_of = {code: _measured(stages, code)["passages"] for code in languages}
    examples = Examples(stages.folder / "corpus", language, passages_of, copied, cleaning)
    described = {switch: examples.described(switch, some) for switch, some in rows.examples.items()}
    content = json.dumps({**rows.report(), "examples": described})
    (folder / REPORT).write_text(content, encoding="utf-8")
    count(passages.stat().st_size)
    stages.finish(f"clean-rows-{language}", [folder])


def _copies(path: Path, size: int) -> BoolArray:
    """The untranslated copies of a language, mapped; none where `same_text` is off."""
    if not path.exists():
        return np.zeros(size, dtype=np.bool_)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _kept(stages: Stages, languages: Sequence[str]) -> LanguageSets:
    """The languages whose row of a triple stays, for all triples; in parts, since they are many."""
    removed = [
        np.load(stages.folder / "cleaning" / "rows" / code / REMOVED, mmap_mode="r", allow_pickle=False)
        for code in languages
    ]
    number = np.zeros(len(removed[0]), dtype=np.uint32)
    known: dict[bytes, int] = {np.ones(len(languages), dtype=np.bool_).tobytes(): 0}
    for start in range(0, len(number), PART):
        has = np.stack([np.asarray(column[start : start + PART]) == 0 for column in removed])
        part = LanguageSets.of(has)
        of_part = [known.setdefault(members.tobytes(), len(known)) for members in part.members]
        number[start : start + PART] = np.array(of_part, dtype=np.uint32)[part.number]
    members = np.stack([np.frombuffer(one, dtype=np.bool_) for one in known])
    return LanguageSets(number.astype(np.min_scalar_type(len(known))), members)
