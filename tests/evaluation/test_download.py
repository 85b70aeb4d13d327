"""Fetching a file from a server that misbehaves, onto a disk that is full."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.sources.catalogue import SourceFile
from hybrid_retrieval.evaluation.sources.download import Patience, download
from tests.evaluation.file_server import Fault, FileServer
from tests.evaluation.small_source import CONTENTS, QUICK, a_source, files_of, pinned, prepare, served


@pytest.fixture
def server() -> Iterator[FileServer]:
    with served() as state:
        yield state


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_interrupted_connection_is_resumed(server: FileServer, tmp_path: Path, fault: Fault) -> None:
    server.fail("de.json", fault)

    prepare(a_source(server), tmp_path)

    half = len(CONTENTS["de.json"]) // 2
    assert files_of(tmp_path) == CONTENTS
    assert [asked for path, asked in server.requests if path == "de.json"] == [None, f"bytes={half}-"]


def test_resumed_as_often_as_allowed(server: FileServer, tmp_path: Path) -> None:
    server.fail("de.json", "cut", "cut")

    prepare(a_source(server), tmp_path)

    size = len(CONTENTS["de.json"])
    second = size // 2 + (size - size // 2) // 2
    assert server.requests[-1] == ("de.json", f"bytes={second}-")
    assert files_of(tmp_path) == CONTENTS


@pytest.mark.parametrize("fault", ["no_ranges", "wrong_range"])
def test_server_that_cannot_resume(server: FileServer, tmp_path: Path, fault: Fault) -> None:
    server.fail("de.json", "cut", fault)

    prepare(a_source(server), tmp_path)

    assert files_of(tmp_path) == CONTENTS


def test_next_run_goes_on_where_the_last_one_stopped(server: FileServer, tmp_path: Path) -> None:
    server.fail("de.json", "cut", "cut", "cut")
    with pytest.raises(UserError, match=r"de\.json could not be fetched in 3 attempts: the connection ended"):
        prepare(a_source(server), tmp_path)
    assert "de.json" not in files_of(tmp_path)
    server.requests.clear()

    prepare(a_source(server), tmp_path)

    assert files_of(tmp_path) == CONTENTS
    (asked,) = [asked for path, asked in server.requests if path == "de.json"]
    assert asked is not None
    assert int(asked.removeprefix("bytes=").rstrip("-")) > 0.8 * len(CONTENTS["de.json"])


def test_damaged_part_of_an_earlier_run_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    file = pinned(server, "de.json", CONTENTS["de.json"])
    (tmp_path / f".de.json.{file.sha256[:12]}.part").write_bytes(b"x" * 150_000)

    download(file, tmp_path, patience=QUICK)

    assert (tmp_path / "de.json").read_bytes() == CONTENTS["de.json"]
    assert [asked for _, asked in server.requests] == ["bytes=150000-", None]


@pytest.mark.parametrize("length", [200_001, 300_000])
def test_part_that_is_complete_or_too_long(server: FileServer, tmp_path: Path, length: int) -> None:
    file = pinned(server, "de.json", CONTENTS["de.json"])
    (tmp_path / f".de.json.{file.sha256[:12]}.part").write_bytes(CONTENTS["de.json"].ljust(length, b"x"))

    download(file, tmp_path, patience=QUICK)

    assert (tmp_path / "de.json").read_bytes() == CONTENTS["de.json"]
    assert server.requests == ([] if length == file.size else [("de.json", None)])


def test_other_content_of_the_same_size_is_refused(server: FileServer, tmp_path: Path) -> None:
    source = a_source(server)
    server.files["de.json"] = CONTENTS["de.json"][::-1]

    with pytest.raises(UserError, match="is not the pinned file") as error:
        prepare(source, tmp_path)

    assert server.url + "de.json" in str(error.value)
    assert "benchmark.path" in str(error.value)
    assert source.files[1].sha256 in str(error.value)
    assert "\n" not in str(error.value)
    assert "de.json" not in files_of(tmp_path)
    assert not list(tmp_path.rglob(".de.json*"))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"<html>log in</html>", "19 bytes instead of 200,001"), (b"x" * 300_000, "300,000")],
)
def test_other_size_is_refused_before_it_is_read(
    server: FileServer, tmp_path: Path, content: bytes, says: str
) -> None:
    file = pinned(server, "de.json", CONTENTS["de.json"])
    server.files["de.json"] = content

    with pytest.raises(UserError, match=says):
        download(file, tmp_path, patience=QUICK)

    assert not any(tmp_path.iterdir())
    assert len(server.requests) == 1


def test_endless_answer_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.fail("de.json", "endless")

    with pytest.raises(UserError, match="more than 200,001 bytes"):
        download(pinned(server, "de.json", CONTENTS["de.json"]), tmp_path, patience=QUICK)

    assert not any(tmp_path.iterdir())


def test_missing_file_is_asked_for_once(server: FileServer, tmp_path: Path) -> None:
    source = a_source(server)
    del server.files["de.json"]

    with pytest.raises(UserError, match="the server answered 404") as error:
        prepare(source, tmp_path)

    assert server.url + "de.json" in str(error.value)
    assert [path for path, _ in server.requests].count("de.json") == 1


def test_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.fail("de.json", "busy", "busy")

    prepare(a_source(server), tmp_path)

    assert files_of(tmp_path) == CONTENTS


def test_server_that_stops_for_good(server: FileServer, tmp_path: Path) -> None:
    stalls: list[Fault] = ["stall"] * 9
    server.fail("de.json", *stalls)
    begun = time.monotonic()

    with pytest.raises(UserError, match="the server stopped answering"):
        prepare(a_source(server), tmp_path)

    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("server")
def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        file = SourceFile("a.json", f"http://127.0.0.1:{port}/a.json", 5, "0" * 64)
        with pytest.raises(UserError, match=f"http://127.0.0.1:{port}/a.json could not be fetched"):
            download(file, tmp_path, patience=QUICK)


@pytest.mark.usefixtures("server")
def test_no_network_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    file = SourceFile("a.json", "https://example.org/a.json", 5, "0" * 64)
    begun = time.monotonic()

    with pytest.raises(UserError, match=r"https://example\.org/a\.json: the host's name .* benchmark\.path"):
        download(file, tmp_path, patience=Patience())

    assert time.monotonic() - begun < 1


def test_proxy_of_the_environment_is_used(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CONTENTS["de.json"]
    url = "http://localhost:9/de.json"
    server.files[url] = content
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    download(replace(pinned(server, "de.json", content), url=url), tmp_path, patience=QUICK)

    assert server.requests == [(url, None)]


def test_redirect_on_the_same_server(server: FileServer, tmp_path: Path) -> None:
    file = replace(pinned(server, "de.json", CONTENTS["de.json"]), url=server.url + "old")
    server.redirects["old"] = server.url + "de.json"

    download(file, tmp_path, patience=QUICK)

    assert (tmp_path / "de.json").read_bytes() == CONTENTS["de.json"]


@pytest.mark.parametrize(
    "target", ["http://localhost:1/de.json", "http://example.org/", "ftp://example.org/x"]
)
def test_redirect_to_another_server_without_https(server: FileServer, tmp_path: Path, target: str) -> None:
    file = replace(pinned(server, "de.json", CONTENTS["de.json"]), url=server.url + "old")
    server.redirects["old"] = target

    with pytest.raises(UserError, match="not https: not followed"):
        download(file, tmp_path, patience=QUICK)


def test_redirect_to_another_server_over_https_is_followed(server: FileServer, tmp_path: Path) -> None:
    file = replace(pinned(server, "de.json", CONTENTS["de.json"]), url=server.url + "old")
    server.redirects["old"] = server.url.replace("http:", "https:") + "de.json"

    # The server speaks no TLS: that the handshake fails shows that it was tried.
    with pytest.raises(UserError, match=r"could not be fetched in 3 attempts: .*(?i:ssl)"):
        download(file, tmp_path, patience=QUICK)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_that_fills_up_meanwhile(server: FileServer, tmp_path: Path) -> None:
    file = pinned(server, "de.json", CONTENTS["de.json"])
    (tmp_path / f".de.json.{file.sha256[:12]}.part").symlink_to("/dev/full")

    with pytest.raises(UserError, match=r"de\.json cannot be written to .*No space left.*Free 200,001 bytes"):
        download(file, tmp_path, patience=QUICK)
