"""Does a rerun of the study show what the study claims? check_claims.py <folder of runs> [claims.json]

Each claim of claims.json is a difference in one metric between runs of two names, such as x_y-seed1-4f2a
and hybrid-seed1-93cb (mean over the seeds found), and the interval that it must lie in. Prints a line a
claim; the exit status is 1 if one fails, 2 if runs are missing.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLAIMS = Path(__file__).with_name("claims.json")


def read_runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The metrics.json files below a folder by what their folder's name says before its first hyphen."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob("metrics.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(path.parent.name.partition("-")[0], []).append(metrics)
    return found


def mean(runs: Sequence[Mapping[str, Any]], metric: str) -> float:
    """Mean of a metric, named "section/name", over runs."""
    section, name = metric.split("/", 1)
    return math.fsum(float(run[section][name]) for run in runs) / len(runs)


def holds(claim: Mapping[str, Any], difference: float) -> bool:
    """Whether a difference lies in the interval of a claim; a bound that is null is none."""
    least, most = claim["at_least"], claim["at_most"]
    return (least is None or difference >= least) and (most is None or difference <= most)


def check(folder: Path, claims: Sequence[Mapping[str, Any]]) -> int:
    """Print what was found for each claim; the exit status."""
    runs = read_runs(folder)
    missing = sorted({claim[side] for claim in claims for side in ("of", "minus")} - runs.keys())
    if missing:
        sys.stderr.write(f"error: {folder} has no metrics.json of {', '.join(missing)}. Run them first.\n")
        return 2
    failed = 0
    for claim in claims:
        difference = mean(runs[claim["of"]], claim["metric"]) - mean(runs[claim["minus"]], claim["metric"])
        held = holds(claim, difference)
        failed += not held
        sys.stdout.write(
            f"{'holds ' if held else 'FAILS '} {claim['claim']}: {claim['metric']} of {claim['of']} - "
            f"{claim['minus']} = {difference:+.4g} (bounds {claim['at_least']} to {claim['at_most']})\n"
        )
    sys.stdout.write(f"{len(claims) - failed} of {len(claims)} claims hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    file = Path(sys.argv[2]) if len(sys.argv) == 3 else CLAIMS
    sys.exit(check(Path(sys.argv[1]), json.loads(file.read_text(encoding="utf-8"))))
