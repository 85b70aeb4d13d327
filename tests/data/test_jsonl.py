import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Reader, Row
from hybrid_retrieval.data.readers.jsonl import JsonlReader
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError

GOOD = {"id": "a", "question": "Wo?", "passage": "Hier."}


def line(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}, ensure_ascii=False).encode() + b"\n"


def rows(folder: Path, language: str = "de", **options: object) -> list[Row]:
    return list(JsonlReader(folder, **options).rows(language))  # type: ignore[arg-type]


def test_plain_compressed_and_marked_files_read_alike(tmp_path: Path) -> None:
    content = line() + b"\n \r\n" + line(id="b", passage="سطر\u2028واحد 👩‍🚀", extra=[1]).rstrip(b"\n")
    contents = {
        "de.jsonl": content,
        "pt-br.jsonl": b"\xef\xbb\xbf" + content,
        "zh-hant.jsonl": content.replace(b"\n", b"\r\n"),
        "ast.jsonl.gz": gzip.compress(content),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "README.md").write_text("ignored")
    reader: Reader = JsonlReader(tmp_path)
    assert reader.languages() == ["ast", "de", "pt-br", "zh-hant"]
    for language in reader.languages():
        assert list(reader.rows(language)) == [
            Row("a", "Wo?", "Hier.", "a"),
            Row("b", "Wo?", "سطر\u2028واحد 👩‍🚀", "b"),
        ]


def test_optional_fields(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(
        line(id=7, passage_id="p", negatives=["x", 3], split="dev", page_title="Seite")
        + line(id="b", passage_id=None, negatives=None, split=None, page_title=None)
        + line(id="c", page_title="Wo?", split="test")
    )
    assert rows(tmp_path) == [
        Row("7", "Wo?", "Hier.", "p", ("x", "3"), "validation"),
        Row("b", "Wo?", "Hier.", "b"),
        Row("c", "Wo?", "Hier.", "c", (), "test"),
    ]
    assert [one.question for one in rows(tmp_path, title=True)] == ["Seite — Wo?", "Wo?", "Wo?"]


BAD_LINES = {
    "cut in half": (line()[:25], "cut off"),
    "cut after a comma": (b'{"id": "a", ', "cut off"),
    "not JSON": (b"id: a\n", "not JSON"),
    "nested too deeply": (b"[" * 100_000, "not JSON|cut off"),
    "a huge number": (b'{"id": ' + b"1" * 5_000 + b"}\n", "not JSON that can be read"),
    "a list": (b'["a"]\n', "expected an object"),
    "no id": (b'{"question": "Wo?", "passage": "Hier."}\n', "the field 'id' is missing .*'question'"),
    "no passage": (b'{"id": "a", "question": "Wo?"}\n', "the field 'passage' is missing"),
    "empty question": (line(question=" \n"), "'question' is empty"),
    "empty id": (line(id=""), "'id' is empty"),
    "passage of a wrong type": (line(passage=["Hier."]), "'passage' must be a string, not a list"),
    "null passage": (line(passage=None), "'passage' must be a string, not null"),
    "id of a wrong type": (line(id=1.5), "'id' must be a string or an integer, not a number"),
    "id that is a boolean": (line(id=True), "'id' must be .* not true or false"),
    "negatives of a wrong type": (line(negatives="x"), "'negatives' must be a list of ids, not a string"),
    "a negative of a wrong type": (line(negatives=[{}]), "an id in 'negatives' must be .* not an object"),
    "unknown split": (line(split="eval"), r"'split' is 'eval'\. Write train, validation \(or dev\) or test"),
    "split of a wrong type": (line(split=[]), "'split' is "),
    "title of a wrong type": (line(page_title=3), "'page_title' must be a string"),
    "half a surrogate pair": (
        b'{"id": "a", "question": "W\\ud83d", "passage": "x"}\n',
        "ud83d, at character 2",
    ),
    "Latin-1": (line(passage="Straße").decode().encode("latin-1"), "not UTF-8: byte 0xdf at offset 1[0-9]+"),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("bad", "reason"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_malformed_line_is_named(tmp_path: Path, bad: bytes, reason: str, compressed: bool) -> None:
    content = line(id="x") + b"\n" + line(id="y") + bad
    path = tmp_path / ("de.jsonl.gz" if compressed else "de.jsonl")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(UserError, match=reason) as stopped:
        build_corpus(JsonlReader(tmp_path, title=True), tmp_path / "out" / "c")
    assert str(stopped.value).startswith(f"{path}:4: ")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_offset_of_a_wrong_byte_is_that_of_the_file(tmp_path: Path) -> None:
    wrong = b"\xf6"
    content = b"\xef\xbb\xbf" + line() + line(question="Größe").replace("ö".encode(), wrong)
    (tmp_path / "de.jsonl").write_bytes(content)
    with pytest.raises(
        UserError, match=f"de.jsonl:2: not UTF-8: byte 0xf6 at offset {content.index(wrong)}\\. "
    ):
        rows(tmp_path)


def test_utf_16_is_named_at_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(line().decode().encode("utf-16"))
    with pytest.raises(UserError, match=r"de\.jsonl:1: not UTF-8: byte 0xff at offset 0\. Convert"):
        rows(tmp_path)


BAD_GZIP = {
    "cut": (gzip.compress(b"".join(line(id=i) for i in range(3)))[:-9], "ends in the middle"),
    "not gzip": (line(), "not compressed by gzip"),
    "wrong checksum": (gzip.compress(line())[:-8] + bytes(8), "damaged .*CRC"),
    "wrong data": (gzip.compress(line())[:10] + b"\x07" * 30, "damaged"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_GZIP.values(), ids=BAD_GZIP.keys())
def test_damaged_compression_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "de.jsonl.gz").write_bytes(content)
    with pytest.raises(UserError, match=rf"de\.jsonl\.gz:\d+: the (gzip data|file).*{reason}"):
        rows(tmp_path)


def test_a_compressed_file_with_a_plain_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(gzip.compress(line()))
    with pytest.raises(UserError, match=r"de\.jsonl:1: .*Rename it to de\.jsonl\.gz"):
        rows(tmp_path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(b"\n\n")
    with pytest.raises(UserError, match=r"de\.jsonl:1: the file has no rows"):
        rows(tmp_path)


def test_a_question_with_several_positives_is_a_row_for_each(tmp_path: Path) -> None:
    more = {"passage_id": "p2", "passage": "Zwei."}
    (tmp_path / "de.jsonl").write_bytes(line(passage_id="p") + line(id="b") + line(**more))
    (tmp_path / "en.jsonl").write_bytes(line(**more))
    build_corpus(JsonlReader(tmp_path), tmp_path / "c")
    corpus = ParallelCorpus.open(tmp_path / "c", "train")

    queries = corpus.queries(np.arange(3))
    found = {
        code: {(row.id, row.passage_id, row.passage) for row in corpus.rows(code)} for code in ("de", "en")
    }
    assert len(corpus) == 3
    assert len(set(queries.tolist())) == 2
    assert {row[:2] for row in found["de"]} == {("a", "p"), ("b", "b"), ("a", "p2")}
    assert found["en"] == {("a", "p2", "Zwei.")}

    (tmp_path / "de.jsonl").write_bytes(
        line(passage_id="p") + line(id="b") + line(**more, question="Anders?")
    )
    with pytest.raises(
        UserError, match=r"de\.jsonl:1,3: the id 'a' occurs twice in de with different questions"
    ):
        build_corpus(JsonlReader(tmp_path), tmp_path / "d")
    (tmp_path / "de.jsonl").write_bytes(line(passage_id="p") + line(**more) + line(**more))
    with pytest.raises(
        UserError, match=r"de\.jsonl:1,2,3: the id 'a' occurs twice in de with the passage 'p2'"
    ):
        build_corpus(JsonlReader(tmp_path), tmp_path / "d")


def test_contradicting_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(line() + line(id="b") + line())
    with pytest.raises(UserError, match=r"de\.jsonl:1,3: the id 'a' occurs twice in de"):
        build_corpus(JsonlReader(tmp_path), tmp_path / "c")
    (tmp_path / "de.jsonl").write_bytes(line(passage_id="p") + line(id="b", passage_id="p", passage="Da."))
    with pytest.raises(UserError, match=r"de\.jsonl:2: row 'b' .* another text than row .*de\.jsonl:1\)"):
        build_corpus(JsonlReader(tmp_path), tmp_path / "c")
    (tmp_path / "de.jsonl").write_bytes(line(split="train"))
    (tmp_path / "en.jsonl").write_bytes(line(id="z") + line(split="test"))
    with pytest.raises(UserError, match=r"en\.jsonl:2: row 'a' in en differs in split from de .*de\.jsonl:1"):
        build_corpus(JsonlReader(tmp_path), tmp_path / "c")
    (tmp_path / "en.jsonl").write_bytes(line(id="z", negatives=["nowhere"]))
    with pytest.raises(UserError, match=r"en\.jsonl:1: row 'z' has the hard negative 'nowhere'"):
        build_corpus(JsonlReader(tmp_path), tmp_path / "c")


def test_the_first_of_several_texts_of_a_passage_can_be_taken(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(line(passage_id="p") + line(id="b", passage_id="p", passage="Da."))
    assert [one.passage for one in rows(tmp_path)] == ["Hier.", "Da."]
    assert [one.passage for one in rows(tmp_path, passage_variants="first")] == ["Hier.", "Hier."]


def test_a_folder_without_suitable_files_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "sets" / "one").mkdir(parents=True)
    (tmp_path / "sets" / "one" / "de.jsonl").write_bytes(line())
    with pytest.raises(UserError, match=r"nowhere does not exist.*LANG\.jsonl or LANG\.jsonl\.gz"):
        JsonlReader(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"de\.jsonl is not a folder"):
        JsonlReader(tmp_path / "sets" / "one" / "de.jsonl")
    with pytest.raises(UserError, match=r"holds no LANG\.jsonl.*These folders in it do: one\."):
        JsonlReader(tmp_path / "sets")


def test_file_names_and_languages_are_checked(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(line())
    with pytest.raises(UserError, match=r"no file for .* fr: looked for fr\.jsonl and fr\.jsonl\.gz"):
        JsonlReader(tmp_path, ["de", "fr"])
    with pytest.raises(UserError, match=r"data\.languages must be a list"):
        JsonlReader(tmp_path, "de")
    (tmp_path / "en_US.jsonl").write_bytes(line())
    with pytest.raises(UserError, match=r"en_US\.jsonl: 'en_US' is not a language code"):
        JsonlReader(tmp_path)
    assert JsonlReader(tmp_path, ["de"]).languages() == ["de"]
    (tmp_path / "de.jsonl.gz").write_bytes(gzip.compress(line()))
    with pytest.raises(UserError, match=r"holds both de\.jsonl and de\.jsonl\.gz"):
        JsonlReader(tmp_path, ["de"])


def test_the_fingerprint_follows_content_languages_and_options(tmp_path: Path) -> None:
    for code in ("de", "en"):
        (tmp_path / f"{code}.jsonl").write_bytes(line())
    first = JsonlReader(tmp_path).fingerprint()
    assert JsonlReader(tmp_path, ["en", "de"]).fingerprint() == first
    others = {
        JsonlReader(tmp_path, ["de"]).fingerprint(),
        JsonlReader(tmp_path, title=True).fingerprint(),
        JsonlReader(tmp_path, passage_variants="first").fingerprint(),
    }
    (tmp_path / "en.jsonl").write_bytes(line(question="Where?"))
    others.add(JsonlReader(tmp_path).fingerprint())
    assert len(others - {first}) == 4


def test_the_registry_knows_its_readers(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_bytes(line(page_title="Seite"))
    made = make_reader("jsonl", str(tmp_path), ["de"], title=True)
    assert [one.question for one in made.rows("de")] == ["Seite — Wo?"]
    assert make_reader("world_facts", None, ["de"]).languages() == ["de"]
    for arguments, message in (
        (("json", None, None), "no reader data=json: choose from world_facts, jsonl, squad"),
        (("jsonl", None, None), r"data=jsonl needs data\.path=<folder of LANG\.jsonl\[\.gz\]>"),
        (("squad", "", None), r"data=squad needs data\.path=<folder of LANG\.json\[\.gz\]>"),
        (("world_facts", "x", None), r"takes no data\.path"),
    ):
        with pytest.raises(UserError, match=message):
            make_reader(*arguments)
    with pytest.raises(UserError, match=r"data=squad has no option data\.options\.title: it has no options"):
        make_reader("squad", str(tmp_path), None, title=True)
    with pytest.raises(UserError, match=r"data\.options\.title must be true or false, not 'yes'"):
        make_reader("jsonl", str(tmp_path), None, title="yes")
    with pytest.raises(UserError, match="must be error or first, not 'last'"):
        make_reader("jsonl", str(tmp_path), None, passage_variants="last")


# From the table of row counts in the data's README.
XLINGHEALTH = {"en": 907, "es": 918, "hi": 909, "zh": 895}
CUSTOMER_INSIGHTS = {
    **{"ar": 555, "de": 569, "el": 566, "en": 573, "es": 570, "fr": 569, "hi": 558, "ja": 549, "ko": 535},
    **{"ru": 563, "th": 552, "tr": 569, "vi": 569, "zh": 500},
}
OMOS_QA = dict.fromkeys(("ar", "de", "en", "fr", "uk"), 732)


@pytest.mark.parametrize(
    ("name", "options", "counts"),
    [
        ("xlinghealth", {}, XLINGHEALTH),
        ("ms-customer-insights", {"title": True}, CUSTOMER_INSIGHTS),
        ("omos-qa", {"passage_variants": "first"}, OMOS_QA),
    ],
)
def test_row_counts_of_public_sets(
    tmp_path: Path, shared_data: Path, name: str, options: dict[str, object], counts: dict[str, int]
) -> None:
    reader = make_reader("jsonl", str(shared_data / "parallel-qa" / name), None, **options)
    build_corpus(reader, tmp_path / "c", validation_fraction=0.1)
    splits = [ParallelCorpus.open(tmp_path / "c", split) for split in ("train", "validation", "test")]
    assert splits[0].counts["rows"] == counts
    assert dict(zip(splits[0].languages, sum(
        (corpus.availability.counts()[:, None] * corpus.availability.both()).sum(0) for corpus in splits
    ), strict=True)) == counts  # fmt: skip
    passages = [set(corpus.positives(np.arange(len(corpus))).tolist()) for corpus in splits]
    assert sum(map(len, passages)) == len(set.union(*passages)) == splits[0].passage_count


def test_differing_texts_of_a_public_set_are_pointed_out(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(UserError, match=r"ar\.jsonl\.gz:\d+: .*data\.options\.passage_variants=first"):
        build_corpus(JsonlReader(shared_data / "parallel-qa" / "omos-qa"), tmp_path / "c")
