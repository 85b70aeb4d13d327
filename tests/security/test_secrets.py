"""Keys, tokens and passwords reach no file and no output; a configuration with one is refused."""

import json
import logging
import time
from pathlib import Path

import pytest

from hybrid_retrieval.security.log_records import SafeRecords
from hybrid_retrieval.security.secrets import HIDDEN, holds_secret, is_secret_name, without_secrets
from tests.conftest import Command, Outcome
from tests.own_data import own_data_overrides
from tests.refusal import refused

SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz012345",
    "AWS_ACCESS_KEY_ID": "AKIAABCDEFGHIJKLMNOP",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=x;AccountKey=c2VjcmV0LXNlY3JldA==",
}
PASSWORDS = {
    "https_proxy": "http://proxyuser:proxy-pass-word@127.0.0.1:9",
    "PIP_INDEX_URL": "https://indexuser:index-pass-word@127.0.0.1:9/simple",
}
VALUES = (*SECRETS.values(), "proxy-pass-word", "index-pass-word")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**SECRETS, **PASSWORDS}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))


def assert_clean(folder: Path, *outcomes: Outcome) -> None:
    """No secret in any file below a folder, nor in what was printed."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert files
    for value in VALUES:
        assert not [file for file in files if value.encode() in file.read_bytes()], value
        assert not [outcome for outcome in outcomes if value in outcome.out + outcome.err], value


def test_a_run_with_all_its_files_and_outputs_holds_no_secret(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "one"
    trained = command(
        "train", *own_data_overrides(own_data), "logger=wandb", "+note=${oc.env:WANDB_API_KEY}",
        "hydra.verbose=true", "trainer.max_steps=1", f"hydra.run.dir={run}",
    )  # fmt: skip
    assert trained.status == 0, trained
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    compared = command("compare", str(tmp_path / "runs"), "figures=false")
    assert compared.status == 0, compared
    assert (tmp_path / "runs" / "report.html").is_file()

    assert_clean(tmp_path, trained, compared)


@pytest.mark.parametrize("unforeseen", [False, True])
def test_a_run_that_fails_tells_no_secret(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unforeseen: bool
) -> None:
    from hybrid_retrieval.errors import UserError  # noqa: PLC0415
    from hybrid_retrieval.training import run as run_module  # noqa: PLC0415

    text = f"401 for s3://{SECRETS['AWS_ACCESS_KEY_ID']}:{SECRETS['AWS_SECRET_ACCESS_KEY']}@bucket, sent " + (
        f"Bearer {SECRETS['HF_TOKEN']} through {PASSWORDS['https_proxy']}"
    )

    def broken(*_: object) -> None:
        logging.getLogger("somewhere").warning("trying %s", text)
        raise (ValueError if unforeseen else UserError)(text)

    monkeypatch.setattr(run_module, "check_options", broken)
    line = ["train", *own_data_overrides(own_data)]
    one = command(*line, f"hydra.run.dir={tmp_path / 'one'}")
    many = command(*line, "-m", "seed=1,2", f"hydra.sweep.dir={tmp_path / 'many'}")

    assert (one.status, many.status) == ((1, 1) if unforeseen else (2, 2))
    told = f"401 for s3://{HIDDEN}@bucket, sent Bearer {HIDDEN} through http://{HIDDEN}@127.0.0.1:9"
    assert told in one.err
    assert f"trying {told}" in one.out
    records = [json.loads(file.read_text()) for file in tmp_path.rglob("run.json")]
    assert len(records) == (3 if unforeseen else 2)
    assert all(told in record["reason"] for record in records)
    assert_clean(tmp_path, one, many)


@pytest.mark.parametrize(
    "setting",
    [
        "+logger.wandb.api_key=KEY",
        "+data.options.token=abcdefgh",
        "+x.storage_options={key: abc, secret: defghi}",
        "+data.path='s3://AKIAABCDEFGHIJKLMNOP:wJalrXUtnFEMI/K7MDENG@bucket/corpus'",
        "+data.path=simplecache::s3://some:thing@bucket/corpus",
        "+data.path=https://user:password@host/corpus",
        "+benchmark.path=https://token@host/corpus",
        "+data.path='https://host/corpus?X-Amz-Signature=0123456789'",
        "+note=KEY",
        "+note=[a,{b: 'prefix-KEY-suffix'}]",
        "+note=hf_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "hydra.job.name=KEY",
        "+hydra.job.env_set.WANDB_API_KEY=abcdefgh",
        "hydra.run.dir=outputs/KEY",
    ],
)
def test_a_configuration_with_a_secret_is_refused_and_not_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)

    outcome = command("compare", setting.replace("KEY", SECRETS["WANDB_API_KEY"]))

    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert "holds a key, token or password" in outcome.err
    for value in (SECRETS["WANDB_API_KEY"], "wJalrXUtnFEMI", "thing", "abcdefgh", "0123456789", "hf_aaa"):
        assert value not in outcome.out + outcome.err
    assert not list(tmp_path.iterdir())


def test_a_sweep_with_a_secret_is_refused_and_not_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for overrides in (
        ["+a.token=first,second"],
        ["data.path=s3://a:b@c,s3://a:d@c"],
        ["seed=1,2", "+a.token=x"],
    ):
        refused(command, "train", "-m", *overrides, says="holds a key, token or password")
    assert not list(tmp_path.iterdir())


def test_an_override_that_cannot_be_read_is_told_without_its_secret(command: Command) -> None:
    for override in ("logger.api_key=se=cret", "data.path=s3://some:se=cret@bucket", "+a.token=se[cret"):
        outcome = command("compare", override)
        assert outcome.status == 2
        assert "cret" not in outcome.err
        assert HIDDEN in outcome.err


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://key:sec/ret@bucket/a", f"s3://{HIDDEN}@bucket/a"),
        ("gs://key:secret@bucket and s3://bucket/a@b", f"gs://{HIDDEN}@bucket and s3://bucket/a@b"),
        ("https://user:pw@host:80/x", f"https://{HIDDEN}@host:80/x"),
        ("https://token@host/x", f"https://{HIDDEN}@host/x"),
        ("sftp://user@host/x", "sftp://user@host/x"),
        ("sftp://user:pw@host/x", f"sftp://{HIDDEN}@host/x"),
        (
            "abfs://container@account.dfs.core.windows.net/x",
            "abfs://container@account.dfs.core.windows.net/x",
        ),
        ("https://medium.com/@user:x", "https://medium.com/@user:x"),
        ("https://h/x?a=1&sig=abc%3D&b=2", f"https://h/x?a=1&sig={HIDDEN}&b=2"),
        ("https://h/x?X-Amz-Security-Token=abc", f"https://h/x?X-Amz-Security-Token={HIDDEN}"),
        ("--api-key=abc, seed=3", f"--api-key={HIDDEN}, seed=3"),
        ("token_budget=2048 keys=3 monkey=4 pad_tokens=1", "token_budget=2048 keys=3 monkey=4 pad_tokens=1"),
        ("use hf_abcdefghijklmnopqrstuvwxyz", f"use {HIDDEN}"),
        ("the value of value-of-one is", f"the value of {HIDDEN} is"),
        (
            "commit 0123456789012345678901234567890123456789",
            "commit 0123456789012345678901234567890123456789",
        ),
    ],
)
def test_what_is_hidden(text: str, clean: str) -> None:
    environment = {"ONE_TOKEN": "value-of-one", "SHORT_KEY": "of", "PWD": "the value", "HOME": "commit"}
    assert without_secrets(text, environment) == clean
    assert without_secrets(clean, environment) == clean


@pytest.mark.parametrize(
    "part", ["s3://:", "s3://a:", "a.", "a-b_", "?a_", "https://", "a_key_", "x://a:", "a:"]
)
def test_no_text_takes_long(part: str) -> None:
    started = time.process_time()
    without_secrets(part * (200_000 // len(part)), {})
    assert time.process_time() - started < 2


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    environment = {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefghijkl"}
    assert without_secrets("x abcdefghijkl abcdefgh", environment) == f"x {HIDDEN} {HIDDEN}"


def test_names_of_secrets() -> None:
    for name in ("WANDB_API_KEY", "HF_TOKEN", "api_key", "key", "secret", "aws_secret_access_key", "DB_PWD",
                 "AWS_ACCESS_KEY_ID", "password", "client.secret", "storage-key"):  # fmt: skip
        assert is_secret_name(name), name
    for name in ("PWD", "OLDPWD", "keys", "monkey", "token_budget", "pad_token_id", "tokens", "keyboard"):
        assert not is_secret_name(name), name
    assert not holds_secret("path", "", {"A_TOKEN": ""})


def test_records_of_the_log_are_cleaned_with_their_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s and %d", (SECRETS["HF_TOKEN"], 3), None)
    assert SafeRecords().filter(record)
    assert record.getMessage() == f"{HIDDEN} and 3"
    try:
        raise ValueError(f"\x1b[31m{SECRETS['HF_TOKEN']}")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.INFO, "f", 1, "100 %", (), info)
    SafeRecords().filter(record)
    text = logging.Formatter().format(record)
    assert text.startswith("100 %\nTraceback")
    assert text.endswith(f"ValueError: \\x1b[31m{HIDDEN}")
