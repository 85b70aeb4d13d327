import gzip
import json
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmarks.miracl import miracl
from hybrid_retrieval.evaluation.corpus.evaluate import evaluate_corpus
from hybrid_retrieval.evaluation.corpus.files import read_qrels, read_topics
from tests.evaluation.corpus.small import TextEmbedder

TOPICS = {
    "ar": 2896, "bn": 411, "de": 305, "en": 799, "es": 648, "fa": 632, "fi": 1271, "fr": 343, "hi": 350,
    "id": 960, "ja": 860, "ko": 213, "ru": 1252, "sw": 482, "te": 828, "th": 733, "yo": 119, "zh": 393,
}  # fmt: skip


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_documents(
    folder: Path, number: int, documents: list[tuple[str, str, str]], *, gz: bool = True
) -> None:
    lines = "".join(
        json.dumps({"docid": docid, "title": title, "text": text}, ensure_ascii=False) + "\n"
        for docid, title, text in documents
    )
    folder.mkdir(parents=True, exist_ok=True)
    data = lines.encode()
    path = folder / f"docs-{number}.jsonl{'.gz' if gz else ''}"
    path.write_bytes(gzip.compress(data) if gz else data)


def write_language(folder: Path, language: str, *, topics: str, qrels: str, documents: str) -> None:
    """Topics, qrels and twelve files of one passage each, in folders named by templates."""
    name = f"miracl-v1.0-{language}-dev.tsv"
    write(folder / topics.format(language) / f"topics.{name}", "0\tWhat is 3?\n7#1\tWhat is 11?\n")
    judged = "0\tQ0\t3#0\t1\n0\tQ0\t4#0\t0\n7#1\tQ0\t11#0\t1\n7#1\tQ0\t2#0\t2\n0\tQ0\tunknown#0\t0\n"
    write(folder / qrels.format(language) / f"qrels.{name}", judged)
    for number in range(12):
        write_documents(
            folder / documents.format(language),
            number,
            [(f"{number}#0", f"Title {number}", f"{language} text")],
        )


LAYOUTS = {
    "hub": ("miracl-v1.0-{}/topics", "miracl-v1.0-{}/qrels", "miracl-corpus-v1.0-{}"),
    "hub, side by side": (
        "miracl/miracl-v1.0-{}/topics",
        "miracl/miracl-v1.0-{}/qrels",
        "miracl-corpus/miracl-corpus-v1.0-{}",
    ),
    "one folder a language": ("miracl-v1.0-{}/topics", "miracl-v1.0-{}/qrels", "miracl-v1.0-{}"),
    "topics and qrels flat": ("", "", "miracl-corpus-v1.0-{}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(tmp_path: Path, layout: str) -> None:
    topics, qrels, documents = LAYOUTS[layout]
    for language in ("sw", "ar"):
        write_language(tmp_path, language, topics=topics, qrels=qrels, documents=documents)
    benchmark = miracl(tmp_path)

    assert [of.name for of in benchmark.collections] == ["ar", "sw"]
    passages = list(benchmark.collections[1].passages())
    assert passages == list(benchmark.collections[1].passages())
    assert [passage.id for passage in passages] == [f"{number}#0" for number in range(12)]
    assert passages[11].text == "Title 11 sw text"
    assert passages[11].language == "sw"
    assert passages[11].where.endswith("docs-11.jsonl.gz:1")
    assert [(query.id, query.text, dict(query.relevant)) for query in benchmark.collections[0].queries] == [
        ("0", "What is 3?", {"3#0": 1}),
        ("7#1", "What is 11?", {"11#0": 1, "2#0": 2}),
    ]


def test_everything_in_one_folder_if_it_is_one_language(tmp_path: Path) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="")
    assert len(list(miracl(tmp_path).collections[0].passages())) == 12

    write_language(tmp_path, "ar", topics="", qrels="", documents="elsewhere")
    with pytest.raises(UserError, match="the passages of ar, sw are missing"):
        miracl(tmp_path)


def test_evaluates_from_files_to_metrics(tmp_path: Path) -> None:
    for language in ("sw", "ar"):
        write_language(tmp_path, language, topics="", qrels="", documents="miracl-corpus-v1.0-{}")
    metrics = evaluate_corpus(
        TextEmbedder(), miracl(tmp_path), folder=tmp_path / "shards", fingerprint="f", shard_rows=5
    ).metrics

    assert metrics["counts"] == {
        "queries": {"ar": 2, "sw": 2},
        "candidates": {"ar": 12, "sw": 12},
        "pool": 24,
    }
    assert metrics["monolingual"]["recall@100"] == 1
    assert 0 < metrics["monolingual"]["ndcg@10"] < 1


def test_a_title_may_be_empty_and_a_whole_passage_may_not(tmp_path: Path) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="")
    write_documents(tmp_path, 12, [("12#0", "", "text"), ("13#0", "Title", ""), ("14#0", "", "")])
    benchmark = miracl(tmp_path)
    assert [passage.text for passage in benchmark.collections[0].passages()][-3:-1] == ["text", "Title"]
    with pytest.raises(UserError, match=r"docs-12\.jsonl\.gz:3: passage '14#0' has no text"):
        evaluate_corpus(TextEmbedder(), benchmark, folder=tmp_path / "shards", fingerprint="f")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"docid": "1#0", "title": "T", "text": "t"', "the JSON object is cut off"),
        ('["1#0"]', r"expected an object \{\.\.\.\}, not a list"),
        ('{"title": "T", "text": "t"}', "the field 'docid' is missing"),
        ('{"docid": "1#0", "title": "T"}', "the field 'text' is missing"),
        ('{"docid": "1#0", "title": 3, "text": "t"}', "'title' must be a string"),
    ],
)
def test_malformed_passages_are_named(tmp_path: Path, line: str, says: str) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="")
    (tmp_path / "docs-12.jsonl").write_text('{"docid": "0", "title": "T", "text": "t"}\n' + line, "utf-8")
    with pytest.raises(UserError, match=rf"docs-12\.jsonl:2: {says}"):
        list(miracl(tmp_path).collections[0].passages())


def test_a_cut_off_file_of_passages_is_named(tmp_path: Path) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="")
    path = tmp_path / "docs-3.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"docs-3\.jsonl\.gz:.*ends in the middle"):
        list(miracl(tmp_path).collections[0].passages())


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder.*huggingface\.co/datasets/miracl"):
        miracl(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no topics of the split 'dev'.*topics\.miracl-v1\.0-LANG-dev\.tsv"):
        miracl(tmp_path)

    write_language(tmp_path, "sw", topics="", qrels="", documents="miracl-corpus-v1.0-{}")
    with pytest.raises(UserError, match="no topics of ko for the split 'dev'; there are those of sw"):
        miracl(tmp_path, languages=["sw", "ko"])
    with pytest.raises(UserError, match="no topics of the split 'train'"):
        miracl(tmp_path, split="train")

    (tmp_path / "miracl-corpus-v1.0-sw" / "docs-4.jsonl.gz").unlink()
    with pytest.raises(UserError, match=r"docs-4\.jsonl\.gz: no such file, but there is docs-11"):
        miracl(tmp_path)
    write_documents(tmp_path / "miracl-corpus-v1.0-sw", 4, [("4#0", "T", "t")])
    write_documents(tmp_path / "miracl-corpus-v1.0-sw", 5, [("5#0", "T", "t")], gz=False)
    with pytest.raises(UserError, match="are the same part of the corpus"):
        miracl(tmp_path)

    (tmp_path / "qrels.miracl-v1.0-sw-dev.tsv").unlink()
    (tmp_path / "miracl-corpus-v1.0-sw" / "docs-5.jsonl").unlink()
    with pytest.raises(UserError, match=r"qrels\.miracl-v1\.0-sw-dev\.tsv: no such file"):
        miracl(tmp_path)


def test_languages_without_passages_are_named(tmp_path: Path) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="miracl-corpus-v1.0-{}")
    write_language(tmp_path, "ar", topics="", qrels="", documents="elsewhere")
    with pytest.raises(UserError, match=r"the passages of ar are missing.*benchmark\.languages=\[sw\]"):
        miracl(tmp_path)
    assert [of.name for of in miracl(tmp_path, languages=["sw"]).collections] == ["sw"]


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("topics", "12", r"topics\.miracl-v1\.0-sw-dev\.tsv:3: not a query id, a tab and the query"),
        ("topics", "0\tagain", r"topics\.miracl-v1\.0-sw-dev\.tsv:3: query id '0' repeats"),
        ("qrels", "0\tQ0\t5#0", r"qrels\.miracl-v1\.0-sw-dev\.tsv:6: not TREC qrels"),
        ("qrels", "0\tQ0\t5#0\tyes", r"qrels\.miracl-v1\.0-sw-dev\.tsv:6: not TREC qrels"),
        ("qrels", "9\tQ0\t5#0\t1", "query '9' is not among the 2 topics"),
        ("qrels", "0\tQ0\t3#0\t1", "passage '3#0' is judged twice for query '0'"),
        ("topics", "8\tunanswered", "1 of 3 queries have no relevant passage: '8'"),
    ],
)
def test_malformed_topics_and_qrels_are_named(tmp_path: Path, name: str, line: str, says: str) -> None:
    write_language(tmp_path, "sw", topics="", qrels="", documents="")
    path = tmp_path / f"{name}.miracl-v1.0-sw-dev.tsv"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=says):
        miracl(tmp_path)


@pytest.fixture(scope="module")
def released(shared_data: Path) -> Path:
    folder = shared_data / "miracl"
    if not folder.is_dir():
        pytest.skip(f"needs MIRACL's topics and qrels in {folder}")
    return folder


def test_released_topics_and_qrels_are_read_whole(released: Path) -> None:
    for code, count in TOPICS.items():
        topics = read_topics(released / f"topics.miracl-v1.0-{code}-dev.tsv")
        qrels = read_qrels(released / f"qrels.miracl-v1.0-{code}-dev.tsv", topics)
        assert len(topics) == count
        assert qrels.keys() == topics.keys()
        assert all(max(of.values()) == 1 for of in qrels.values())  # each has a relevant passage


def test_topics_without_passages_are_refused_at_once(released: Path) -> None:
    with pytest.raises(UserError, match=r"the passages of ar, bn, .*cannot be evaluated") as refused:
        miracl(released)
    assert "huggingface.co/datasets/miracl/miracl-corpus" in str(refused.value)
