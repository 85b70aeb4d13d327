import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r

# LAReQA, arXiv 2004.05484, table 1.
CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244,
    "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip


def document(code: str, ids: tuple[str, ...] = ("q1", "q2", "q3")) -> dict[str, Any]:
    """Two paragraphs, three sentences; q1's answer starts exactly where the second sentence does."""
    starts = {"q1": (0, 6), "q2": (0, 0), "q3": (1, 3)}
    contexts = [f"Aaaa. Bbbb {code}.", "Aaaa."]
    breaks = [[[0, 6], [6, len(contexts[0])]], [[0, 5]]]
    sentences = [["Aaaa.", f"Bbbb {code}."], ["Aaaa."]]
    paragraphs = [
        {
            "context": contexts[p],
            "sentences": sentences[p],
            "sentence_breaks": breaks[p],
            "qas": [
                {"id": q, "question": f"{q}?", "answers": [{"answer_start": starts[q][1], "text": "x"}]}
                for q in ids
                if starts[q][0] == p
            ],
        }
        for p in range(2)
    ]
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}


def write(folder: Path, **documents: Any) -> Path:
    for code, content in documents.items():
        (folder / f"{code}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def relevant_ids(benchmark: Benchmark) -> dict[str, list[str]]:
    offsets = benchmark.relevant_offsets
    return {
        query: [benchmark.candidate_ids[i] for i in benchmark.relevant[offsets[q] : offsets[q + 1]]]
        for q, query in enumerate(benchmark.query_ids)
    }


def test_counts_are_the_published_ones(xquad_r_benchmark: Benchmark) -> None:
    assert xquad_r_benchmark.counts() == {
        "queries": dict.fromkeys(CANDIDATES, 1190),
        "candidates": CANDIDATES,
        "pool": 13_014,
    }
    assert (np.diff(xquad_r_benchmark.relevant_offsets) == 11).all()
    assert len(set(xquad_r_benchmark.query_group)) == 1190


def test_every_query_has_one_answer_in_each_language(xquad_r_benchmark: Benchmark) -> None:
    benchmark = xquad_r_benchmark
    languages = benchmark.candidate_language[benchmark.relevant].reshape(-1, 11)
    assert (np.sort(languages, axis=1) == np.arange(11)).all()


def test_the_relevant_sentence_holds_the_answer(xquad_r_folder: Path, xquad_r_benchmark: Benchmark) -> None:
    """The answers' texts, which the loader never reads, occur in the sentences it takes as relevant."""
    content = json.loads((xquad_r_folder / "en.json").read_text(encoding="utf-8"))
    answers = {
        f"en:{question['id']}": question["answers"][0]["text"]
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    }
    text_of = dict(zip(xquad_r_benchmark.candidate_ids, xquad_r_benchmark.candidate_texts, strict=True))
    relevant = relevant_ids(xquad_r_benchmark)
    held = [
        answer in text_of[next(i for i in relevant[query] if i.startswith("en:"))]
        for query, answer in answers.items()
    ]
    assert len(held) == 1190
    assert np.mean(held) > 0.99  # an answer may run on into the next sentence


def test_an_answer_belongs_to_the_sentence_it_starts_in(tmp_path: Path) -> None:
    benchmark = xquad_r(write(tmp_path, en=document("en")))
    assert relevant_ids(benchmark) == {"en:q1": ["en:0:1"], "en:q2": ["en:0:0"], "en:q3": ["en:1:0"]}
    assert benchmark.candidate_texts == ["Aaaa.", "Bbbb en.", "Aaaa."]


def test_questions_need_not_exist_in_every_language(tmp_path: Path) -> None:
    benchmark = xquad_r(write(tmp_path, de=document("de", ("q1",)), en=document("en", ("q1", "q2"))))
    assert relevant_ids(benchmark) == {
        "de:q1": ["de:0:1", "en:0:1"],
        "en:q1": ["de:0:1", "en:0:1"],
        "en:q2": ["en:0:0"],
    }
    assert sorted(benchmark.query_group) == ["q1", "q1", "q2"]


def test_languages_restrict_queries_and_pool(tmp_path: Path) -> None:
    folder = write(tmp_path, de=document("de"), en=document("en"), zh=document("zh"))
    benchmark = xquad_r(folder, languages=["zh", "de"])
    assert benchmark.languages == ("de", "zh")
    assert benchmark.counts()["pool"] == 6


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text(json.dumps(document("en")), encoding="utf-8-sig")
    assert xquad_r(tmp_path).counts()["pool"] == 3


def test_missing_folder_names_where_the_files_come_from(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nowhere: no such folder.*en\.json.*google-research-datasets/lareqa"
    ):
        xquad_r(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no file named LANG\.json"):
        xquad_r(tmp_path)
    write(tmp_path, en=document("en"))
    with pytest.raises(UserError, match=r"en\.json: a file, not a folder"):
        xquad_r(tmp_path / "en.json")
    with pytest.raises(UserError, match=r"fr\.json: no such file.*: fr; with one: en"):
        xquad_r(tmp_path, languages=["en", "fr"])
    with pytest.raises(UserError, match=r"no language asked for\. Choose some of: en"):
        xquad_r(tmp_path, languages=[])


def test_unknown_form_of_candidate(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"benchmark\.candidate=paragraph.*one of: sentence, sentence\+context, context"
    ):
        xquad_r(tmp_path, candidate="paragraph")


def test_cut_json_and_wrong_encoding_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "en.json"
    whole = json.dumps(document("en"), indent=1)
    path.write_text(whole[: len(whole) // 2], encoding="utf-8")
    lines = whole[: len(whole) // 2].count("\n") + 1
    with pytest.raises(UserError, match=rf"en\.json:{lines}: not JSON: .* \(column \d+\)"):
        xquad_r(tmp_path)
    path.write_bytes(whole.replace("Aaaa", "Ä", 1).encode("latin-1"))
    with pytest.raises(UserError, match=r"en\.json:\d+: not UTF-8: byte 0x\w\w at offset \d+"):
        xquad_r(tmp_path)


def paragraph(content: Any) -> Any:
    return content["data"][0]["paragraphs"][0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.pop("data"), r"the document has no field 'data'"),
        (lambda d: paragraph(d).pop("sentences"), r"data\[0\]\.paragraphs\[0\] has no field 'sentences'"),
        (lambda d: paragraph(d).update(sentences="x"), r"paragraphs\[0\]\.sentences is not a list"),
        (lambda d: paragraph(d)["sentences"].append(3), r"sentences\[2\] is not a string"),
        (lambda d: paragraph(d)["sentences"].__setitem__(1, " \n"), r"sentences\[1\] is empty"),
        (lambda d: paragraph(d)["sentences"].append("x"), r"3 sentences and 2 sentence_breaks"),
        (lambda d: paragraph(d)["sentence_breaks"][0].pop(), r"sentence_breaks\[0\] is not \[start, end\]"),
        (lambda d: paragraph(d)["qas"][0].pop("id"), r"qas\[0\] has no field 'id'"),
        (lambda d: paragraph(d)["qas"][0].update(answers=[]), r"qas\[0\]\.answers is empty"),
        (
            lambda d: paragraph(d)["qas"][1].update(answers=[]),
            r"1 of 3 questions have an answer in no sentence: .q2. \(data.*qas\[1\]\.answers is empty",
        ),
        (lambda d: paragraph(d)["qas"][1].update(id="q1"), r"question id 'q1' in .* is also in"),
        (
            lambda d: paragraph(d)["qas"][0]["answers"][0].update(answer_start=99),
            r"qas\[0\]\.answers\[0\]\.answer_start is 99, in no entry of",
        ),
        (lambda d: paragraph(d)["qas"][0]["answers"][0].update(answer_start=True), "not a whole number"),
        (lambda d: d.update(data=[]), "holds no question"),
    ],
)
def test_malformed_files_name_the_place(tmp_path: Path, damage: Callable[[Any], Any], message: str) -> None:
    content = copy.deepcopy(document("en"))
    damage(content)
    with pytest.raises(UserError, match=rf"en\.json: .*{message}"):
        xquad_r(write(tmp_path, en=content))


def test_questions_without_an_answer_are_counted_and_the_first_named(tmp_path: Path) -> None:
    content = document("en", ("q1", "q2", "q3"))
    for found in content["data"][0]["paragraphs"]:
        for question in found["qas"]:
            question["answers"][0]["answer_start"] += 50
    questions = [{**paragraph(content)["qas"][0], "id": f"more{i}"} for i in range(4)]
    paragraph(content)["qas"].extend(questions)
    with pytest.raises(
        UserError, match=r"7 of 7 questions.*'q1' \(data\S+ is 56,.*'q2' \(.*'more0' \(.*\.\.\. Every answer"
    ) as refusal:
        xquad_r(write(tmp_path, en=content))
    assert "more1" not in str(refusal.value)


def test_an_answer_in_the_white_space_before_a_sentence_belongs_to_it(tmp_path: Path) -> None:
    content = document("en", ("q1", "q2"))
    paragraph(content)["sentence_breaks"] = [[0, 5], [6, 14]]  # the space between them is in neither
    paragraph(content)["qas"][0]["answers"][0]["answer_start"] = 5
    assert relevant_ids(xquad_r(write(tmp_path, en=content)))["en:q1"] == ["en:0:1"]

    paragraph(content)["sentence_breaks"] = [[0, 4], [6, 14]]  # now the full stop is, too
    paragraph(content)["qas"][0]["answers"][0]["answer_start"] = 4
    with pytest.raises(UserError, match="1 of 2 questions have an answer in no sentence: 'q1'"):
        xquad_r(write(tmp_path, en=content))


def test_sentence_and_context_is_the_sentence_then_its_paragraph(
    xquad_r_folder: Path, xquad_r_benchmark: Benchmark
) -> None:
    """The sentence comes first, so that truncation never loses it; all else is as for sentences alone."""
    benchmark = xquad_r(xquad_r_folder, languages=["en", "th"], candidate="sentence+context")
    alone = xquad_r(xquad_r_folder, languages=["en", "th"])
    assert benchmark.candidate_ids == alone.candidate_ids
    assert relevant_ids(benchmark) == relevant_ids(alone)
    contexts = {
        f"{code}:{number}": found["context"]
        for code in ("en", "th")
        for number, found in enumerate(paragraphs_of(xquad_r_folder / f"{code}.json"))
    }
    for identifier, text, sentence in zip(
        benchmark.candidate_ids, benchmark.candidate_texts, alone.candidate_texts, strict=True
    ):
        assert text == f"{sentence} {contexts[identifier.rpartition(':')[0]]}"


def test_context_ranks_the_paragraphs(xquad_r_folder: Path, xquad_r_benchmark: Benchmark) -> None:
    """240 a language; the relevant paragraph is the one that holds the relevant sentence."""
    benchmark = xquad_r(xquad_r_folder, candidate="context")
    assert benchmark.counts() == {
        "queries": dict.fromkeys(CANDIDATES, 1190),
        "candidates": dict.fromkeys(CANDIDATES, 240),
        "pool": 11 * 240,
    }
    assert benchmark.candidate_texts[:240] == [
        found["context"] for found in paragraphs_of(xquad_r_folder / "ar.json")
    ]
    assert relevant_ids(benchmark) == {
        query: [identifier.rpartition(":")[0] for identifier in identifiers]
        for query, identifiers in relevant_ids(xquad_r_benchmark).items()
    }


def test_equal_paragraphs_of_a_language_are_one_candidate(tmp_path: Path) -> None:
    content = document("en", ("q1", "q2"))
    again = copy.deepcopy(content["data"][0])
    again["paragraphs"][0]["qas"] = [{**again["paragraphs"][0]["qas"][0], "id": "q9"}]
    content["data"].append(again)
    folder = write(tmp_path, en=content, de=document("de", ("q1",)))
    benchmark = xquad_r(folder, candidate="context")
    assert benchmark.candidate_ids == ["de:0", "de:1", "en:0", "en:1"]
    assert benchmark.candidate_texts == ["Aaaa. Bbbb de.", "Aaaa.", "Aaaa. Bbbb en.", "Aaaa."]
    assert relevant_ids(benchmark) == {
        "de:q1": ["de:0", "en:0"],
        "en:q1": ["de:0", "en:0"],
        "en:q2": ["en:0"],
        "en:q9": ["en:0"],
    }
    assert xquad_r(folder, languages=["en"]).counts()["pool"] == 6  # as sentences they stay apart


def paragraphs_of(path: Path) -> list[Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return [found for article in content["data"] for found in article["paragraphs"]]
