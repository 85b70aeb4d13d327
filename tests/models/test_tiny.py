import hashlib
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import torch

from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny, tiny_tokenizer, write_tiny

SENTENCES = {
    "ar": "عاصمة فرنسا هي باريس.",
    "de": "Die Währung der Schweiz ist der Franken.",
    "el": "Το ευρώ είναι το νόμισμα της Ελλάδας.",
    "en": "The capital of France is Paris.",
    "es": "¿Cuál es la capital de España?",
    "fr": "L’été, la mer est à 20 °C.",
    "hi": "भारत की राजधानी नई दिल्ली है।",
    "it": "La capitale d'Italia è Roma.",
    "ja": "日本の首都は東京です。",
    "ko": "대한민국의 수도는 서울이다.",
    "ru": "Столица России — Москва.",
    "th": "เมืองหลวงของไทยคือกรุงเทพฯ",
    "tr": "Türkiye'nin başkenti Ankara'dır.",
    "vi": "Thủ đô của Việt Nam là Hà Nội.",
    "zh": "中国的首都是北京，饕餮也在那里。",
    "emoji": "ok 👍",
}


def digest(folder: Path) -> str:
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json")
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()


def test_the_same_seed_gives_the_same_files_in_another_process(tiny_folder: Path, tmp_path: Path) -> None:
    code = "import sys, pathlib; from hybrid_retrieval.models.tiny import write_tiny; "
    code += "write_tiny(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert digest(tmp_path) == digest(tiny_folder)


def test_seeds_differ_and_leave_the_random_state_alone(tiny_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    write_tiny(tmp_path, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert digest(tmp_path) != digest(tiny_folder)


def test_every_character_survives(tiny: TextEncoder) -> None:
    tokenizer = tiny_tokenizer()
    for language, text in SENTENCES.items():
        ids = tokenizer.encode(text).ids
        assert tokenizer.token_to_id("<unk>") not in ids, language
        assert tokenizer.decode(ids) == unicodedata.normalize("NFKC", text), language
    assert len({tuple(ids) for ids in tiny.tokenizer(list(SENTENCES.values()), "query")}) == len(SENTENCES)


def test_prefixes_are_one_token_each(tiny: TextEncoder) -> None:
    query, passage = tiny.tokenizer([""], "query")[0], tiny.tokenizer([""], "passage")[0]
    tokens = tiny.tokenizer.hf_tokenizer.convert_ids_to_tokens([query[1], passage[1]])
    assert tokens == ["▁query:", "▁passage:"]


def test_a_prepared_folder_is_reused_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    folder = prepare_tiny(tmp_path)
    modified = (folder / "model.safetensors").stat().st_mtime_ns
    assert prepare_tiny(tmp_path) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == modified
    before = digest(folder)
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert digest(prepare_tiny(tmp_path)) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_loads_by_name_without_anything_prepared(empty_cache: Path) -> None:
    encoder = TextEncoder.load("tiny")
    assert (encoder.name, encoder.dimension) == ("tiny", 64)
    assert sum(p.numel() for p in encoder.parameters()) < 400_000
