"""Where the data of a corpus comes from and on which terms: `source` in its manifest."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.data.parallel import MANIFEST
from hybrid_retrieval.data.sets import DataSet
from hybrid_retrieval.errors import StorageError
from hybrid_retrieval.hub import HUB_ID

HUB = "https://huggingface.co/datasets/"

# Licence, and where it is stated; "see" where the terms are more than a name. The readers cite the papers.
PUBLISHED = {
    "world_facts": ("Unicode License v3 (Unicode CLDR)", "https://www.unicode.org/license.txt"),
    "mmarco": (
        "see there, and MS MARCO's terms at https://microsoft.github.io/msmarco",
        f"{HUB}unicamp-dl/mmarco",
    ),
    "mfaq": ("CC0 1.0", f"{HUB}clips/mfaq"),
    "mkqa": ("CC BY-SA 3.0", "https://github.com/apple/ml-mkqa"),
    "mr_tydi": ("Apache 2.0", f"{HUB}castorini/mr-tydi"),
    "miracl_train": ("Apache 2.0", f"{HUB}miracl/miracl"),
    "mlqa_translate_train": (
        "CC BY-SA 3.0 (MLQA), CC BY-SA 4.0 (SQuAD)",
        "https://github.com/facebookresearch/MLQA",
    ),
    "xtreme_squad": (
        "CC BY-SA 4.0 (SQuAD); of the translations see there",
        "https://github.com/google-research/xtreme",
    ),
}
LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING")
_LONGEST_LINE = 200
_PLACE = ("path", "hub", "revision", "commit", "licence_file", "licence_file_says")


def origin_of(data: DataSet, cache: Path) -> dict[str, str]:
    """What is known of where a data set comes from.

    Args:
        data: the data set, read already.
        cache: the cache folder, which notes what was downloaded.

    Returns:
        `reader`; and, where known, `path` (a folder) or `hub` (an id of the hub), `revision`, `commit`,
        `licence` (the user's word, else the published one), `url` (where that is stated), `licence_file` and
        `licence_file_says` (name and first line of a licence that lies beside the data).
    """
    origin: dict[str, str | None] = {"reader": data.reader}
    licence, url = PUBLISHED.get(data.reader, (None, None))
    folder = Path(data.path).expanduser() if data.path else None
    if folder is not None and folder.exists():
        origin |= {"path": str(folder.absolute()), **_licence_file(folder)}
    elif data.path and HUB_ID.fullmatch(data.path):
        revision = data.options.get("revision")
        origin |= {"hub": data.path, "revision": revision, "commit": _commit(data.path, revision, cache)}
        if licence is None:
            licence, url = "see there", f"{HUB}{data.path}"
    elif data.path:
        origin["path"] = data.path
    origin |= {"licence": data.licence or licence, "url": url if data.licence is None else None}
    return {key: str(value) for key, value in origin.items() if value is not None}


def record_origin(corpus: Path, origin: Mapping[str, str]) -> None:
    """Put an origin into the manifest of a prepared corpus, which keeps its fingerprint.

    Where the data lay when the corpus was built stays: jobs that share the corpus may see its source at other
    places. A corpus that cannot be written stays as it is.

    Args:
        corpus: its folder.
        origin: as `origin_of` gives it.
    """
    file = corpus / MANIFEST
    content = json.loads(file.read_bytes())
    before = content.get("source", {})
    after = {**before, **origin, **{key: before[key] for key in _PLACE if key in before}}
    if "licence" in origin and "url" not in origin:
        after.pop("url", None)
    if after == before:
        return
    text = json.dumps({**content, "source": after}, indent=1, ensure_ascii=False) + "\n"
    with suppress(OSError, StorageError), atomic_file(file) as new:
        new.write_text(text, encoding="utf-8")


def origin_words(source: Mapping[str, str]) -> str:
    """Licence and origin in a line for a terminal."""
    place = source.get("hub") or source.get("path") or ""
    version = source.get("commit") or source.get("revision")
    place += f" at {version[:12]}" if version else ""
    licence = source.get("licence") or source.get("licence_file_says")
    if licence is None:
        licence = "unknown (say it with data.licence=...)"
    elif "licence" not in source:
        licence += f" ({source['licence_file']})"
    elif "url" in source:
        licence += f" ({source['url']})"
    return f"licence: {licence}" + (f"; from {place}" if place else "")


def _licence_file(folder: Path) -> dict[str, str]:
    """Name and first line of the licence beside some data."""
    where = folder if folder.is_dir() else folder.parent
    try:
        files = sorted(p for p in where.iterdir() if p.stem.upper() in LICENCE_FILES and p.is_file())
        if not files:
            return {}
        lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    first = next((line.strip(" #*\t") for line in lines if line.strip(" #*\t")), "")
    return {"licence_file": files[0].name, "licence_file_says": first[:_LONGEST_LINE]}


def _commit(hub_id: str, revision: object, cache: Path) -> str | None:
    """The commit that was downloaded, where the cache notes one."""
    commits = set()
    for note in (cache / "hub").glob(f"{hub_id.replace('/', '--')}-*.json"):
        try:
            content = json.loads(note.read_bytes())
        except (OSError, ValueError):
            continue
        if content.get("hub_id") == hub_id and content.get("revision") == revision:
            commits.add(content.get("commit"))
    return commits.pop() if len(commits) == 1 else None
