"""What a folder of shards is to hold, to tell embeddings of another model or of other texts apart."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError

SHARD_ROWS = 65_536
DTYPES = ("float16", "float32")
PLAN_FILE = "corpus.json"


@dataclass(frozen=True)
class ShardPlan:
    """What a folder of shards holds when it is finished.

    Attributes:
        model: the fingerprint of all that turns a text into an embedding.
        passages: number of passages.
        texts: the sha256 of `passage_bytes` of the passages of each shard.
        rows: passages of a shard; the last one may have fewer.
        dtype: "float16" or "float32".
    """

    model: str
    passages: int
    texts: tuple[str, ...]
    rows: int = SHARD_ROWS
    dtype: str = "float16"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"embeddings are stored as {' or '.join(DTYPES)}, not as {self.dtype!r}.")
        if self.rows < 1:
            raise UserError(f"a shard of {self.rows} passages is none: use 1 or more, such as {SHARD_ROWS}.")
        if len(self.texts) != -(-self.passages // self.rows):
            raise ValueError(f"{len(self.texts)} shards of {self.rows} cannot hold {self.passages} passages")

    @classmethod
    def read(cls, folder: Path) -> "ShardPlan":
        """The plan that a folder was claimed for.

        Raises:
            UserError: there is none, or its file is damaged.
        """
        file = folder / PLAN_FILE
        try:
            of = json.loads(file.read_text(encoding="utf-8"))
            return cls(of["model"], of["passages"], tuple(of["texts"]), rows=of["rows"], dtype=of["dtype"])
        except FileNotFoundError:
            raise UserError(f"{folder}: holds no encoded corpus, as {PLAN_FILE} is missing.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error!r}). Delete {folder} and encode anew.") from None

    def claim(self, folder: Path) -> None:
        """Write the plan into a folder that has none, or compare it with the folder's.

        Raises:
            UserError: the folder has another plan.
        """
        file = folder / PLAN_FILE
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as new:
                new.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        found = ShardPlan.read(folder)
        if found != self:
            raise UserError(
                f"{file}: this folder holds embeddings {self._difference(found)}. Use another folder, or "
                "delete this one to encode anew."
            )

    def size(self, shard: int) -> int:
        """Number of passages of a shard."""
        return min(self.rows, self.passages - shard * self.rows)

    def fingerprint(self, shard: int) -> str:
        """Sha256 of all that decides the bytes of a shard."""
        return hashlib.sha256(json.dumps([self.model, self.dtype, self.texts[shard]]).encode()).hexdigest()

    def _difference(self, found: "ShardPlan") -> str:
        if found.model != self.model:
            return f"by another model ({found.model}, not {self.model})"
        if (found.rows, found.dtype) != (self.rows, self.dtype):
            return f"as {found.dtype} in shards of {found.rows}, not as {self.dtype} in shards of {self.rows}"
        return f"of another corpus or another state of it ({found.passages} passages, not {self.passages})"


def passage_bytes(passage_id: str, text: str) -> bytes:
    """What a passage adds to the digest of its shard; the lengths keep ids and texts apart."""
    return f"{len(passage_id)} {len(text)} {passage_id}{text}".encode()
