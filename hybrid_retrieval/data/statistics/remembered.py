"""The statistics of a corpus, measured once and kept in the cache."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.data.parallel import read_manifest
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.statistics.measure_corpus import SCHEMA, measure_corpus
from hybrid_retrieval.errors import StorageError
from hybrid_retrieval.models.backbones import BackboneSpec, backbone_folder, load_backbone
from hybrid_retrieval.storage_errors import reason

_TOKENIZER_FILES = ("*.json", "*.model", "*.txt")


def corpus_statistics(  # noqa: PLR0917
    corpus: Path,
    cache: Path,
    spec: BackboneSpec,
    limits: tuple[int | None, int | None],
    sample: int,
    progress: Progress,
) -> tuple[dict[str, Any], Path | None]:
    """The statistics of a corpus, as `measure_corpus` describes them.

    Args:
        corpus: its folder.
        cache: the cache folder; they are kept in `statistics/<name of the corpus folder>-<8 digits>.json`.
        spec: the backbone, prepared.
        limits: tokens after which training queries and passages are cut; None is the backbone's.
        sample: as for `measure_corpus`.
        progress: where to show it.

    Returns:
        The statistics, and their file; None where the cache cannot be written.

    Raises:
        UserError: corpus or backbone is damaged.
    """
    key = _key(corpus, spec, limits, sample)
    file = cache / "statistics" / f"{corpus.name}-{key[:8]}.json"
    if (kept := _kept(file, key)) is not None:
        return kept, file
    tokenizer = load_backbone(spec).tokenizer.shortened(*limits)
    measured = {**measure_corpus(corpus, tokenizer, spec.name, sample, progress), "key": key}
    return measured, file if _keep(measured, file, progress) else None


def _key(corpus: Path, spec: BackboneSpec, limits: tuple[int | None, int | None], sample: int) -> str:
    """What the statistics depend on: corpus, tokenizer and settings."""
    manifest = read_manifest(corpus)
    folder = backbone_folder(spec)
    paths = {path for pattern in _TOKENIZER_FILES for path in folder.rglob(pattern)}
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }
    content = [
        SCHEMA,
        manifest.fingerprint,
        dict(manifest.source),
        dataclasses.asdict(spec),
        files,
        limits,
        sample,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _kept(file: Path, key: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        return content if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(statistics: dict[str, Any], file: Path, progress: Progress) -> bool:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as new:
            new.write_text(json.dumps(statistics, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except (OSError, StorageError) as error:
        progress.say(f"the statistics were not kept: {file}: {reason(error)}")
        return False
    return True
