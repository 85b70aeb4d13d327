"""Prepared benchmarks: complete or not accepted, also when processes die or run at once; and their pins."""

import gzip
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r
from hybrid_retrieval.evaluation.sources import prepared
from hybrid_retrieval.evaluation.sources.catalogue import SOURCES_FILE, Source, SourceFile, sources
from hybrid_retrieval.evaluation.sources.download import Patience
from hybrid_retrieval.evaluation.sources.prepared import benchmark_folder
from tests.evaluation.file_server import FileServer
from tests.evaluation.small_source import CONTENTS, a_source, files_of, prepare, served


@pytest.fixture
def server() -> Iterator[FileServer]:
    with served() as state:
        yield state


def test_files_arrive_with_their_terms_and_their_origin(server: FileServer, tmp_path: Path) -> None:
    source = a_source(server)

    said = prepare(source, tmp_path)

    assert files_of(tmp_path) == CONTENTS
    assert sorted(server.requests) == [(name, None) for name in CONTENTS]
    for words in ("CC BY-SA 4.0", "https://example.org/terms", "https://example.org/home", "Somebody 2020"):
        assert words in "\n".join(said)
        assert words in (tmp_path / "xquad_r" / "LICENCE.txt").read_text(encoding="utf-8")
    origin = json.loads((tmp_path / "xquad_r" / "SOURCE.json").read_text(encoding="utf-8"))
    assert origin["files"]["de.json"]["url"] == server.url + "de.json"
    assert {path.name for path in (tmp_path / "xquad_r").iterdir()} == {
        *CONTENTS,
        "LICENCE.txt",
        "SOURCE.json",
    }


def test_second_run_fetches_nothing(server: FileServer, tmp_path: Path) -> None:
    prepare(a_source(server), tmp_path)
    server.requests.clear()

    said = prepare(a_source(server), tmp_path)

    assert server.requests == []
    assert "nothing to fetch" in said[-1]


@pytest.mark.parametrize("damage", [b"", b"[]", None])
def test_damaged_file_is_named_and_fetched_again(
    server: FileServer, tmp_path: Path, damage: bytes | None
) -> None:
    prepare(a_source(server), tmp_path)
    server.requests.clear()
    damaged, others = tmp_path / "xquad_r" / "de.json", tmp_path / "xquad_r" / "mine.txt"
    damaged.write_bytes(CONTENTS["de.json"][::-1] if damage is None else damage)
    others.write_text("mine", encoding="utf-8")

    said = prepare(a_source(server), tmp_path)

    assert server.requests == [("de.json", None)]
    assert any(str(damaged) in line and "fetching it again" in line for line in said)
    assert files_of(tmp_path) == CONTENTS
    assert others.read_text(encoding="utf-8") == "mine"


def test_full_disk(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    with pytest.raises(UserError, match=r"0\.6 MB are needed and 0\.0 MB are free.*paths\.benchmarks"):
        prepare(a_source(server), tmp_path)

    assert server.requests == []


def test_folder_that_is_a_file(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "root").touch()

    with pytest.raises(UserError, match=r"root.*paths\.benchmarks=<folder>"):
        prepare(a_source(server), tmp_path / "root")


# A shell that runs the tests in the background lets them and their children ignore SIGINT.
PROCESS = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from hybrid_retrieval.evaluation.sources.catalogue import Source, SourceFile
from hybrid_retrieval.evaluation.sources.prepared import prepare_benchmark
fields = json.loads(sys.argv[1])
files = tuple(SourceFile(*file) for file in fields.pop("files"))
prepare_benchmark(Source(files=files, **fields), Path(sys.argv[2]), lambda line: None)
"""


def process(source: Source, root: Path, stderr: int | None = None) -> "subprocess.Popen[str]":
    fields = {name: getattr(source, name) for name in Source.__dataclass_fields__}
    fields["files"] = [[file.name, file.url, file.size, file.sha256] for file in source.files]
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, json.dumps(fields), str(root)], text=True, stderr=stderr
    )


def wait_for_part(root: Path) -> None:
    for _ in range(1000):
        if any(part.stat().st_size for part in root.rglob(".*.part")):
            return
        time.sleep(0.02)
    raise AssertionError("nothing arrived")


def test_killed_process_leaves_nothing_that_is_accepted(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_source(server)
    monkeypatch.setattr(prepared, "find_source", {source.name: source}.get)
    for file in source.files:
        server.fail(file.name, "stall")
    killed = process(source, tmp_path)
    wait_for_part(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert files_of(tmp_path) == {}
    with pytest.raises(UserError, match="is not prepared"):
        benchmark_folder("xquad_r", None, benchmarks=str(tmp_path))

    prepare(source, tmp_path)

    assert files_of(tmp_path) == CONTENTS
    assert any(asked for _, asked in server.requests)
    assert benchmark_folder("xquad_r", None, benchmarks=str(tmp_path)) == tmp_path / "xquad_r"


def test_interrupted_process_ends_at_once(server: FileServer, tmp_path: Path) -> None:
    for name in CONTENTS:
        server.fail(name, "stall")
    interrupted = process(a_source(server), tmp_path, stderr=subprocess.DEVNULL)
    wait_for_part(tmp_path)

    interrupted.send_signal(signal.SIGINT)

    assert interrupted.wait(Patience().timeout / 2) != 0
    assert files_of(tmp_path) == {}


def test_two_processes_at_once_fetch_each_file_once(server: FileServer, tmp_path: Path) -> None:
    both = [process(a_source(server), tmp_path) for _ in range(2)]

    assert [one.wait(30) for one in both] == [0, 0]
    assert files_of(tmp_path) == CONTENTS
    assert sorted(server.requests) == [(name, None) for name in CONTENTS]


@pytest.mark.parametrize(
    ("name", "url", "size", "sha256"),
    [
        ("../a.json", "https://example.org/a", 1, "0" * 64),
        (".a.json", "https://example.org/a", 1, "0" * 64),
        ("a.json", "http://example.org/a", 1, "0" * 64),
        ("a.json", "file:///etc/passwd", 1, "0" * 64),
        ("a.json", "https://example.org/a", 0, "0" * 64),
        ("a.json", "https://example.org/a", 1, "0" * 63),
    ],
)
def test_what_may_not_be_fetched(name: str, url: str, size: int, sha256: str) -> None:
    with pytest.raises(ValueError, match=r"name|https|size|sha256"):
        SourceFile(name, url, size, sha256)


def test_packaged_files_are_pinned_to_a_commit() -> None:
    found = sources(SOURCES_FILE)

    assert set(found) == {"xquad_r", "mlqa_r", "tatoeba", "squadshifts", "miracl", "mewsli_x", "beir"}
    for source in found.values():
        assert source.homepage.startswith("https://")
        assert source.licence_url.startswith("https://")
        for file in source.files:
            server, _, rest = file.url.removeprefix("https://").partition("/")
            commit, path = rest.split("/", 3)[2:]
            assert server == "raw.githubusercontent.com"
            assert len(commit) == 40
            assert int(commit, 16)
            assert path.endswith(f"/{file.name}")
    assert len(found["tatoeba"].files) == 2 * 36
    assert len(found["miracl"].files) == 2 * 18


@pytest.mark.parametrize("name", ["xquad_r", "tatoeba", "squadshifts", "miracl"])
def test_pins_are_those_of_the_public_files(shared_data: Path, name: str) -> None:
    folder = shared_data / name.replace("_", "-")
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    files = {file.name: file for file in sources(SOURCES_FILE)[name].files}
    copies = [path for path in folder.iterdir() if path.name.removesuffix(".gz") in files]

    assert len(copies) >= {"xquad_r": 11, "tatoeba": 24, "squadshifts": 3, "miracl": 36}[name]
    for path in copies:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        file = files[path.name.removesuffix(".gz")]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256), path


def test_prepared_benchmark_is_read_like_the_public_files(
    server: FileServer, tmp_path: Path, xquad_r_folder: Path, xquad_r_benchmark: Benchmark
) -> None:
    """The packaged pins, with nothing changed but the server."""
    packaged = sources(SOURCES_FILE)["xquad_r"]
    files = [replace(file, url=server.url + file.name) for file in packaged.files]
    server.files.update({file.name: (xquad_r_folder / file.name).read_bytes() for file in files})

    prepare(replace(packaged, files=tuple(files)), tmp_path)

    benchmark = xquad_r(benchmark_folder("xquad_r", None, benchmarks=str(tmp_path)))
    assert (len(benchmark.query_ids), len(benchmark.candidate_ids)) == (13_090, 13_014)
    assert benchmark.candidate_texts == xquad_r_benchmark.candidate_texts


def test_given_path_wins(tmp_path: Path) -> None:
    assert benchmark_folder("xquad_r", str(tmp_path / "mine"), cache="/nowhere") == tmp_path / "mine"


def test_what_is_not_prepared_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not prepared") as error:
        benchmark_folder("xquad_r", None, cache=str(tmp_path))

    command = f"hybrid-retrieval prepare benchmark=xquad_r paths.cache={tmp_path} "
    for words in (command, "11 files, 17.9 MB", "CC BY-SA 4.0", "benchmark.path=<folder with ar.json"):
        assert words in str(error.value)


def test_incomplete_folder_names_the_file(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = a_source(server)
    monkeypatch.setattr(prepared, "find_source", {source.name: source}.get)
    prepare(source, tmp_path / "benchmarks")
    path = tmp_path / "benchmarks" / "xquad_r" / "de.json"
    path.write_bytes(CONTENTS["de.json"][::-1])

    with pytest.raises(UserError, match=f"is not complete: {path} is damaged"):
        benchmark_folder("xquad_r", None, cache=str(tmp_path))


def test_benchmark_that_cannot_be_fetched_is_found_when_put_there(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks" / "mlqa_r"
    with pytest.raises(UserError, match=r"clone .*CC BY-NC 4\.0.*ar\.json.*benchmark\.path") as error:
        benchmark_folder("mlqa_r", None, cache=str(tmp_path))
    assert str(folder) in str(error.value)

    folder.mkdir(parents=True)
    (folder / "en.json").write_text("{}", encoding="utf-8")

    assert benchmark_folder("mlqa_r", None, cache=str(tmp_path)) == folder
