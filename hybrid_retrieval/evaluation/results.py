"""What an evaluation found: metrics.json and per_query.parquet."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError

SCHEMA = 1
SETTINGS = ("monolingual", "cross_lingual", "multilingual")
METRICS_FILE = "metrics.json"
PER_QUERY_FILE = "per_query.parquet"
REQUIRED = (
    "schema",
    "model",
    "benchmark",
    "counts",
    "monolingual",
    "cross_lingual",
    "multilingual",
    "language_bias",
)


@dataclass(frozen=True)
class Results:
    """The results of one model on one benchmark.

    Attributes:
        metrics: what metrics.json holds (schema in the project's design document). A value that nothing
            defines, such as a cross-lingual metric of a one-language benchmark, is NaN here and null in the
            file.
        per_query: one row a query, in the benchmark's order. Columns: `query_id`, `group` (shared by the
            translations of a query: the unit of a paired test), `language`; `<setting>/<metric>` in the three
            settings, where cross_lingual is the mean over the other languages; each measure of
            `language_bias`; for each language Y `rank/Y`, the rank of the query's best relevant candidate of
            language Y among the candidates of Y, and `pool_rank/Y`, the same among all candidates. Null where
            nothing is relevant.
    """

    metrics: dict[str, Any]
    per_query: pa.Table

    def write(self, folder: Path) -> Path:
        """Write both files, metrics.json last, each replaced at once or not at all.

        Args:
            folder: made if it does not exist.

        Returns:
            The path of metrics.json.
        """
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_null_for_nan(self.metrics), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with atomic_file(folder / PER_QUERY_FILE) as new:
            pq.write_table(self.per_query, new)
        with atomic_file(folder / METRICS_FILE) as new:
            new.write_text(text, encoding="utf-8")
        return folder / METRICS_FILE

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Read what `write` wrote; a metric that nothing defines is None.

        Raises:
            UserError: a file is missing or is not what `write` writes.
        """
        path, table_path = folder / METRICS_FILE, folder / PER_QUERY_FILE
        advice = "Evaluate the model again: hybrid-retrieval evaluate model=<folder> benchmark=<name>."
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            missing = [key for key in REQUIRED if key not in metrics]
            if missing or metrics["schema"] != SCHEMA:
                reason = (
                    f"lacks {', '.join(missing)}"
                    if missing
                    else f"has schema {metrics['schema']}, not {SCHEMA}"
                )
                raise UserError(f"{path}: {reason}. {advice}")
            return cls(metrics, pq.read_table(table_path))
        except FileNotFoundError as error:
            raise UserError(f"{error.filename or table_path}: no such file. {advice}") from error
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
            raise UserError(f"{path}: not the JSON of an evaluation ({error}). {advice}") from error
        except pa.ArrowInvalid as error:
            raise UserError(f"{table_path}: not a Parquet file ({error}). {advice}") from error


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
