import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.data.mapped_texts import MappedTexts, write_texts
from hybrid_retrieval.errors import UserError

SCRIPTS = [
    "Ελλάδα",
    "العربية",
    "हिन्दी",
    "ไทย",
    "中文\n第二行",
    "Tiếng Việt",
    "日本語",
    "русский",
    "👩‍🚀 𐍈",
    "",
    " \t",
]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=40),
    batch_rows=st.integers(1, 9),
)
def test_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], batch_rows: int
) -> None:
    path = tmp_path_factory.mktemp("texts") / "texts.arrow"
    write_texts(path, texts, batch_rows=batch_rows)
    mapped = MappedTexts(path)
    assert len(mapped) == len(texts)
    assert [mapped[row] for row in range(len(texts))] == texts
    assert list(mapped) == texts


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.arrow"
    write_texts(path, SCRIPTS, batch_rows=4)
    return path


def test_every_script_survives(scripts: Path) -> None:
    assert list(MappedTexts(scripts)) == SCRIPTS


def test_a_pickle_holds_the_path_alone(scripts: Path) -> None:
    mapped = MappedTexts(scripts)
    mapped[0]
    pickled = pickle.dumps(mapped)
    assert len(pickled) < len(str(scripts)) + 300
    assert list(pickle.loads(pickled)) == SCRIPTS


def test_texts_stay_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "large.arrow"
    write_texts(path, ("x" * 10_000 for _ in range(1_000)))
    before = pa.total_allocated_bytes()
    mapped = MappedTexts(path)
    assert all(len(mapped[row] or "") == 10_000 for row in range(1_000))
    assert pa.total_allocated_bytes() - before < 100_000


@pytest.mark.parametrize("row", [-1, len(SCRIPTS)])
def test_a_row_outside_is_an_index_error(scripts: Path, row: int) -> None:
    with pytest.raises(IndexError, match=f"row {row} of {len(SCRIPTS)}"):
        MappedTexts(scripts)[row]


def test_equal_texts_give_equal_bytes(scripts: Path) -> None:
    again = scripts.with_name("again.arrow")
    write_texts(again, iter(SCRIPTS), batch_rows=4)
    assert again.read_bytes() == scripts.read_bytes()


def test_a_missing_a_cut_and_a_foreign_file_say_what_to_do(scripts: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.arrow: missing.*prepare again"):
        MappedTexts(scripts.with_name("nothing.arrow"))
    cut = scripts.with_name("cut.arrow")
    cut.write_bytes(scripts.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cut\.arrow: damaged.*prepare again"):
        MappedTexts(cut)
    table = pa.table({"number": [1]})
    with pa.OSFile(str(cut), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UserError, match=r"damaged.*number"):
        MappedTexts(cut)
