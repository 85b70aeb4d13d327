"""A small benchmark on a server of this machine."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from hybrid_retrieval.evaluation.sources.catalogue import Source, SourceFile
from hybrid_retrieval.evaluation.sources.download import Patience
from hybrid_retrieval.evaluation.sources.prepared import prepare_benchmark
from tests.evaluation.file_server import FileServer, file_server

QUICK = Patience(timeout=0.3, attempts=3, backoff=0.01)
CONTENTS = {
    f"{language}.json": hashlib.shake_256(language.encode()).digest(200_000 + i)
    for i, language in enumerate(("ar", "de", "en"))
}


@contextmanager
def served() -> Iterator[FileServer]:
    """Serve `CONTENTS`; meanwhile no proxy is set."""
    direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with mock.patch.dict(os.environ, direct, clear=True), file_server() as state:
        state.files.update(CONTENTS)
        yield state


def pinned(server: FileServer, name: str, content: bytes) -> SourceFile:
    return SourceFile(name, server.url + name, len(content), hashlib.sha256(content).hexdigest())


def a_source(server: FileServer, *, name: str = "xquad_r") -> Source:
    return Source(
        name=name,
        title="A benchmark",
        homepage="https://example.org/home",
        licence="CC BY-SA 4.0",
        licence_url="https://example.org/terms",
        citation="Somebody 2020",
        layout="LANG.json",
        by_hand=None,
        files=tuple(pinned(server, file, content) for file, content in CONTENTS.items()),
    )


def prepare(source: Source, root: Path, patience: Patience = QUICK) -> list[str]:
    said: list[str] = []
    assert prepare_benchmark(source, root, said.append, patience=patience) == root / source.name
    return said


def files_of(root: Path) -> dict[str, bytes]:
    """Everything a reader of the folder could take for a file of the benchmark."""
    return {path.name: path.read_bytes() for path in root.rglob("*.json") if path.name[0] not in ".S"}
