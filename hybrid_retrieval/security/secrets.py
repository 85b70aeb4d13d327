"""Passwords, keys and tokens: found in configurations, hidden in what is shown or written."""

import re
from collections.abc import Mapping

HIDDEN = "(hidden)"
SHORTEST = 8  # characters; a shorter value of the environment is found in too many innocent texts

_NAMES = (
    r"key|key_?id|api_?key|token|secret|passw(?:or)?d|passphrase|credentials?|connection_string|sas|signature"
)
_SECRET_NAME = re.compile(rf"(?:^|[_.-])(?:{_NAMES}|(?<=_)pwd)$", re.IGNORECASE)
# All parts have bounds, so that no text takes long.
_IN_ADDRESS = re.compile(
    # A secret key of S3 may hold slashes; elsewhere what follows a slash is the path.
    r"(?i)\b((?:s3a?|gc?s|oss|az|abfss?)://)[^@\s:]{0,200}:[^@\s]{0,500}@"
    r"|\b(https?://)[^/@\s]{1,500}@"
    r"|\b([a-z][\w+.-]{0,30}://)[^/@\s:]{0,200}:[^/@\s]{0,500}@"
)
_ASSIGNED = re.compile(rf"(?i)((?:(?<![a-z0-9])(?:{_NAMES})|[?&]sig)=)[^\s,'\"&\]}}]+")
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|wandb_v\d_\w{20,})"
)


def is_secret_name(name: str) -> bool:
    """Whether a setting or a variable of this name holds a secret: `api_key`, `WANDB_API_KEY`, `HF_TOKEN`."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """A text with every secret in it replaced by `(hidden)`.

    Secrets are `user:password@` in addresses, signatures in their queries, what is assigned to a name that
    `is_secret_name` knows, tokens of a known form (Hugging Face, AWS, GitHub, W&B), and the values of the
    environment's secret variables.

    Args:
        text: to be shown or written.
        environment: variables of this process.
    """
    for secret in _values(environment):
        text = text.replace(secret, HIDDEN)
    text = _IN_ADDRESS.sub(lambda found: f"{found[1] or found[2] or found[3]}{HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)
    return _TOKENS.sub(HIDDEN, text)


def holds_secret(name: str, value: str, environment: Mapping[str, str]) -> bool:
    """Whether the value of a setting is, or holds, a secret.

    Args:
        name: of the setting, without those of the groups above it.
        value: of the setting.
        environment: variables of this process.
    """
    return bool(value) and (is_secret_name(name) or without_secrets(value, environment) != value)


def has_password(value: str) -> bool:
    """Whether an address in a text holds a password, a key or a token before its host."""
    return _IN_ADDRESS.search(value) is not None


def _values(environment: Mapping[str, str]) -> list[str]:
    """The values of secret variables, longest first: one may hold another."""
    found = {value for name, value in environment.items() if is_secret_name(name) and len(value) >= SHORTEST}
    return sorted(found, key=len, reverse=True)
