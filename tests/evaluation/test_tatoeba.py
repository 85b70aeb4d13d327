from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmarks.tatoeba import language_code, tatoeba

PAIRS = {
    "ar": 1000, "de": 1000, "el": 1000, "es": 1000, "fr": 1000, "hi": 1000,
    "ru": 1000, "sw": 390, "th": 548, "tr": 1000, "vi": 1000, "zh": 1000,
}  # fmt: skip


def write(folder: Path, name: str, foreign: str, english: str) -> Path:
    (folder / f"tatoeba.{name}-eng.{name}").write_text(foreign, encoding="utf-8")
    (folder / f"tatoeba.{name}-eng.eng").write_text(english, encoding="utf-8")
    return folder


def test_published_counts(shared_data: Path) -> None:
    folder = shared_data / "tatoeba"
    if not folder.is_dir():
        pytest.skip(f"needs Tatoeba in {folder}")
    bitext = tatoeba(folder)
    assert {pair.languages[0]: len(pair.sentences[0]) for pair in bitext.pairs} == PAIRS
    assert {pair.languages[1] for pair in bitext.pairs} == {"en"}
    (german,) = tatoeba(folder, languages=["de"]).pairs
    files = [folder / f"tatoeba.deu-eng.{side}" for side in ("deu", "eng")]
    assert german.sentences == tuple(file.read_text(encoding="utf-8").splitlines() for file in files)


def test_xtreme_calls_its_36_languages_by_the_same_codes() -> None:
    of_xtreme = (
        "afr-af ara-ar ben-bn bul-bg cmn-zh deu-de ell-el est-et eus-eu fin-fi fra-fr heb-he hin-hi hun-hu "
        "ind-id ita-it jav-jv jpn-ja kat-ka kaz-kk kor-ko mal-ml mar-mr nld-nl pes-fa por-pt rus-ru spa-es "
        "swh-sw tam-ta tel-te tgl-tl tha-th tur-tr urd-ur vie-vi"
    )
    codes = dict(pair.split("-") for pair in of_xtreme.split(" "))
    assert len(codes) == 36
    assert {name: language_code(name) for name in codes} == codes
    assert [language_code(name) for name in ("ceb", "yue", "ber", "zsm")] == ["ceb", "yue", "ber", "ms"]


def test_lines_are_aligned_and_stripped(tmp_path: Path) -> None:
    write(tmp_path, "swh", "moja \r\nmbili\u2028mbili\r\n", "\ufeffone\ntwo two")
    write(tmp_path, "cmn", "一\n", "one\n")
    (tmp_path / "README.md").write_text("not a sentence", encoding="utf-8")
    bitext = tatoeba(tmp_path)
    assert (bitext.name, bitext.kind) == ("tatoeba", "query")
    assert [(pair.languages, pair.sentences) for pair in bitext.pairs] == [
        (("sw", "en"), (["moja", "mbili\u2028mbili"], ["one", "two two"])),
        (("zh", "en"), (["一"], ["one"])),
    ]
    assert [pair.name for pair in tatoeba(tmp_path, languages=["en", "zh"]).pairs] == ["zh-en"]
    assert tatoeba(tmp_path, kind="passage").kind == "passage"


def test_mistakes_name_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder.*facebookresearch/LASER"):
        tatoeba(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no files such as tatoeba\.deu-eng\.deu"):
        tatoeba(tmp_path)
    write(tmp_path, "deu", "eins\nzwei\n", "one\ntwo\n")
    with pytest.raises(UserError, match=r"no files for the languages fr, xx; there are some for de\."):
        tatoeba(tmp_path, languages=["xx", "de", "fr"])
    with pytest.raises(UserError, match=r"no language asked for beside en\. Choose some of: de"):
        tatoeba(tmp_path, languages=["en"])
    with pytest.raises(UserError, match=r"benchmark\.kind=document: use query or passage"):
        tatoeba(tmp_path, kind="document")

    write(tmp_path, "fra", "un\n\ntrois\n", "one\ntwo\nthree\n")
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.fra:2: the line is empty"):
        tatoeba(tmp_path)
    write(tmp_path, "fra", "un\ndeux\n", "one\ntwo\nthree\n")
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.fra has 2 lines and tatoeba\.fra-eng\.eng has 3"):
        tatoeba(tmp_path)
    write(tmp_path, "fra", "", "")
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.fra:1: the line is empty"):
        tatoeba(tmp_path)
    (tmp_path / "tatoeba.fra-eng.fra").write_bytes("été\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.fra:1: not UTF-8"):
        tatoeba(tmp_path)
    (tmp_path / "tatoeba.fra-eng.fra").unlink()
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.fra: no such file, though its other half"):
        tatoeba(tmp_path)
    (tmp_path / "tatoeba.fra-eng.eng").unlink()
    write(tmp_path, "swh", "a", "b")
    write(tmp_path, "swa", "a", "b")
    with pytest.raises(UserError, match=r"files of both swa and swh hold the language sw"):
        tatoeba(tmp_path)
