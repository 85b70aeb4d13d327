"""The statistics of a corpus as a table for a terminal of 100 columns."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hybrid_retrieval.data.statistics.measure_corpus import KINDS

_NONE = "–"
_SHOWN = ("50%", "95%", "max")


def statistics_table(statistics: Mapping[str, Any]) -> Table:
    """Languages as rows; rows by split, texts, and lengths in tokens with the share that is cut.

    Args:
        statistics: as `measure_corpus` gives them.
    """
    splits = [split for split, triples in statistics["triples"].items() if triples]
    limits: dict[str, int] = {kind: statistics["tokenizer"][f"{kind}_limit"] for kind in KINDS.values()}
    table = Table(
        caption=(
            f"tokens: of {statistics['tokenizer']['name']}; >{limits['query']}, >{limits['passage']}: share "
            f"that is cut there{_sampled(statistics)}{_negatives(statistics)}"
        ),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    for split in splits:
        table.add_column(
            f"Rows\n{'valid.' if split == 'validation' else split}", justify="right", no_wrap=True
        )
    for title, kind in (("Queries", "query"), ("Passages", "passage")):
        table.add_column(f"{title}\n", justify="right", no_wrap=True)
        for name in _SHOWN:
            first = "Tokens" if name == _SHOWN[0] else ""
            table.add_column(f"{first}\n{name}", justify="right", no_wrap=True)
        table.add_column(f"\n>{limits[kind]}", justify="right", no_wrap=True)
    for code, language in statistics["languages"].items():
        table.add_row(code, *_cells(language, splits))
    table.add_section()
    table.add_row("all", *_cells(statistics["total"], splits))
    return table


def _sampled(statistics: Mapping[str, Any]) -> str:
    parts = [language[kind] for language in statistics["languages"].values() for kind in KINDS]
    if all(part["sampled"] == part["texts"] for part in parts):
        return ""
    return (
        f"\ntokens and scripts: of {statistics['sample']:,} sampled texts of each kind and language, at most"
    )


def _negatives(statistics: Mapping[str, Any]) -> str:
    parts = [
        f"{split} {found['50%']:,} ({found['min']:,} to {found['max']:,})"
        for split, found in statistics["hard_negatives"].items()
        if found and found["max"]
    ]
    return f"\nhard negatives of a triple, median: {', '.join(parts)}" if parts else ""


def _cells(language: Mapping[str, Any], splits: list[str]) -> list[str]:
    cells = [f"{language['rows'][split]:,}" for split in splits]
    for kind in KINDS:
        texts = language[kind]
        tokens = texts["tokens"]
        cells += [f"{texts['texts']:,}", *(f"{tokens[name]:,}" if tokens else _NONE for name in _SHOWN)]
        cells.append(percent(texts["too_long"], texts["sampled"]))
    return cells


def percent(count: int, of: int) -> str:
    """A share for a table: `<0.1%` where it would round to nothing, a dash where there is nothing."""
    if not count or not of:
        return _NONE
    share = 100 * count / of
    return "<0.1%" if share < 0.05 else f"{share:.1f}%" if share < 9.95 else f"{share:.0f}%"
