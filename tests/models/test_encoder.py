import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models import encoder as encoder_module
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.hf_folder import quiet_transformers
from hybrid_retrieval.models.text_tokenizer import TextKind
from hybrid_retrieval.models.token_batch import TokenBatch

from .embedding import embed


def lowest_cosine(a: Any, b: Any) -> float:
    a, b = (np.asarray(x) / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float((a * b).sum(axis=1).min())


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A BERT with a trained-looking pooler, in plain Hugging Face layout."""
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = json.loads((tiny_folder / "config.json").read_text())["vocab_size"]
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=100, pad_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(3)
        transformers.BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_folder / name, folder / name)
    return folder


def test_equals_the_transformers_library(tiny: TextEncoder, tiny_folder: Path, texts: list[str]) -> None:
    with quiet_transformers():
        model = transformers.AutoModel.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_folder)
    for text, row in zip(texts, embed(tiny, texts, "passage"), strict=True):
        inputs = tokenizer("passage: " + text, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(row, expected / expected.norm(), rtol=1e-5, atol=1e-6)


def test_unit_length_whatever_the_batch(tiny: TextEncoder, texts: list[str]) -> None:
    whole = embed(tiny, texts)
    assert whole.dtype == torch.float32
    assert whole.shape == (len(texts), tiny.dimension)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(len(texts)))
    ids = tiny.tokenizer(texts, "query")
    for start in range(0, len(texts), 3):
        part = TokenBatch.of(ids[start : start + 3])
        for inputs in ((part,), part.padded(tiny.tokenizer.pad_id)):
            with torch.no_grad():
                embeddings = tiny(*inputs)
            torch.testing.assert_close(embeddings, whole[start : start + 3], rtol=1e-5, atol=1e-6)


def test_float32_under_autocast(tiny: TextEncoder, texts: list[str]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        embeddings = embed(tiny, texts)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(texts)))
    assert lowest_cosine(embeddings, embed(tiny, texts)) > 0.999


def test_gradient_reaches_every_parameter(tiny: TextEncoder, texts: list[str]) -> None:
    tiny(TokenBatch.of(tiny.tokenizer(texts, "query")))[:, 0].sum().backward()
    assert [name for name, p in tiny.named_parameters() if p.grad is None] == []


def test_dropout_is_what_was_asked(tiny_folder: Path, texts: list[str]) -> None:
    for dropout, differs in ((0.0, False), (0.3, True)):
        encoder = TextEncoder.from_folder(tiny_folder, name="tiny", dropout=dropout)
        assert not encoder.training
        rates = {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)}
        assert rates == {dropout}
        encoder.train()
        assert torch.equal(embed(encoder, texts), embed(encoder, texts)) != differs


def test_tokenizer_cuts_and_prefixes_by_kind(tiny_folder: Path) -> None:
    encoder = TextEncoder.from_folder(
        tiny_folder,
        name="tiny",
        max_length={"query": 9, "passage": 20},
        prefixes={"query": "Frage: ", "passage": None},
    )
    tokenizer = encoder.tokenizer
    raw = tokenizer.hf_tokenizer
    long = "Paris ist die Hauptstadt von Frankreich. " * 10
    query, passage = tokenizer([long], "query")[0], tokenizer([long], "passage")[0]
    assert (len(query), len(passage)) == (9, 20)
    full = raw("Frage: " + long)["input_ids"]
    assert query == [*full[:8], full[-1]]
    assert tokenizer(["Ja"], "passage") == [raw("passage: Ja")["input_ids"]]
    assert tokenizer([], "query") == []


def test_tokenizer_survives_pickling(tiny: TextEncoder, texts: list[str]) -> None:
    copy = pickle.loads(pickle.dumps(tiny.tokenizer))
    assert copy(texts, "passage") == tiny.tokenizer(texts, "passage")
    assert (copy.pad_id, copy.prefixes, copy.max_length) == (
        1,
        tiny.tokenizer.prefixes,
        tiny.tokenizer.max_length,
    )


def test_longest_input_fits_and_one_more_is_refused(tiny_folder: Path) -> None:
    text = "wort " * 400
    encoder = TextEncoder.from_folder(tiny_folder, name="tiny", max_length={"query": 256})
    assert len(encoder.tokenizer([text], "query")[0]) == 256
    assert torch.isfinite(embed(encoder, [text])).all()
    with pytest.raises(UserError, match="max_query_length=257 is not between 8 and 256"):
        TextEncoder.from_folder(tiny_folder, name="tiny", max_length={"query": 257})


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "pooler"])
def test_a_saved_model_is_bit_equal_and_a_sentence_transformer(
    pooling: str, bert_folder: Path, texts: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)

    encoder = TextEncoder.from_folder(
        bert_folder,
        name="bert",
        pooling=pooling,
        prefixes={"query": "Query: ", "passage": "Passage: "},
        max_length={"query": 70, "passage": 80},
    )
    encoder.save(tmp_path / "model")
    loaded = TextEncoder.load(str(tmp_path / "model"))
    assert loaded.tokenizer.prefixes == encoder.tokenizer.prefixes
    assert loaded.tokenizer.max_length == encoder.tokenizer.max_length
    with caplog.at_level("WARNING"):
        foreign = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert caplog.text == ""
    assert foreign.max_seq_length == 80
    passages = [*texts, "Paris ist die Hauptstadt von Frankreich. " * 10]
    ours = embed(encoder, passages, "passage")
    assert lowest_cosine(ours, foreign.encode_document(passages)) > 0.9999
    encoded: dict[TextKind, Any] = {
        "query": foreign.encode_query(texts),
        "passage": foreign.encode_document(texts),
    }
    for kind, theirs in encoded.items():
        ours = embed(encoder, texts, kind)
        assert torch.equal(ours, embed(loaded, texts, kind))
        assert lowest_cosine(ours, theirs) > 0.9999
        assert lowest_cosine(ours, foreign.encode(texts, prompt_name=kind)) > 0.9999
        np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1, rtol=1e-5)
    # The comparison can fail: without its prompt the same text is embedded elsewhere.
    assert lowest_cosine(embed(encoder, texts), foreign.encode(texts)) < 0.999


def test_reads_what_sentence_transformers_writes(bert_folder: Path, texts: list[str], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)
    from sentence_transformers.sentence_transformer.modules import (  # noqa: PLC0415
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )

    model = SentenceTransformer(
        modules=[Transformer(str(bert_folder)), Pooling(32, "cls"), Dense(32, 12), Normalize()],
        prompts={"query": "Q: ", "document": "D: "},
        device="cpu",
    )
    model.max_seq_length = 30
    model.save(str(tmp_path / "model"))
    encoder = TextEncoder.load(str(tmp_path / "model"))
    assert encoder.dimension == 12
    assert encoder.tokenizer.prefixes == {"query": "Q: ", "passage": "D: "}
    assert encoder.tokenizer.max_length == {"query": 30, "passage": 30}
    long = [*texts, "Paris ist die Hauptstadt von Frankreich. " * 10]
    assert lowest_cosine(embed(encoder, long), model.encode_query(long)) > 0.9999
    assert lowest_cosine(embed(encoder, long, "passage"), model.encode_document(long)) > 0.9999


def test_pooler_is_berts_own(bert_folder: Path, texts: list[str]) -> None:
    encoder = TextEncoder.from_folder(
        bert_folder, name="bert", pooling="pooler", prefixes={"query": "", "passage": ""}
    )
    with quiet_transformers():
        model = transformers.BertModel.from_pretrained(bert_folder).eval()
    batch = TokenBatch.of(encoder.tokenizer(texts, "query"))
    ids, mask = batch.padded(encoder.tokenizer.pad_id)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).pooler_output
        for inputs in ((batch,), (ids, mask)):
            torch.testing.assert_close(encoder(*inputs), torch.nn.functional.normalize(expected, dim=-1))


def test_names_of_tensors_as_on_the_hub(bert_folder: Path, texts: list[str], tmp_path: Path) -> None:
    """Mask-filling checkpoints prefix their tensors, and mBERT's use TensorFlow's LayerNorm names."""
    folder = shutil.copytree(bert_folder, tmp_path / "hub")
    renamed = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for name, t in load_file(folder / "model.safetensors").items()
    } | {"cls.predictions.bias": torch.zeros(3)}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    for pooling in ("mean", "pooler"):
        ours, theirs = (TextEncoder.load(str(f), pooling=pooling) for f in (folder, bert_folder))
        assert torch.equal(embed(ours, texts), embed(theirs, texts))


def test_a_plain_folder_gets_mean_pooling_and_a_warning(
    bert_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = TextEncoder.load(str(bert_folder))
    assert encoder.pooling == "mean"
    assert encoder.tokenizer.prefixes == {"query": "", "passage": ""}
    assert encoder.tokenizer.max_length == {"query": 100, "passage": 100}
    assert "assuming mean pooling, no prefix for query and passage" in caplog.text
    caplog.clear()
    TextEncoder.load(str(bert_folder), pooling="cls", query_prefix="", passage_prefix="")
    assert caplog.text == ""


def test_modernbert_of_mmbert_loads_and_saves(tiny_folder: Path, texts: list[str], tmp_path: Path) -> None:
    vocabulary = json.loads((tiny_folder / "config.json").read_text())["vocab_size"]
    config = transformers.ModernBertConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=128, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        cls_token_id=0, sep_token_id=2,
    )  # fmt: skip
    with quiet_transformers():
        transformers.ModernBertModel(config).save_pretrained(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_folder / name, tmp_path / "plain" / name)
    encoder = TextEncoder.load(str(tmp_path / "plain"), dropout=0.1)
    assert {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
    encoder.save(tmp_path / "saved")
    loaded = TextEncoder.load(str(tmp_path / "saved"))
    assert torch.equal(embed(encoder, texts), embed(loaded, texts))
    single = torch.cat([embed(encoder, [text]) for text in texts])
    torch.testing.assert_close(single, embed(encoder, texts), rtol=1e-4, atol=1e-5)


def test_save_replaces_a_model_but_nothing_else(tiny: TextEncoder, tmp_path: Path) -> None:
    tiny.save(tmp_path / "model")
    (tmp_path / "model" / "stale.txt").write_text("of an earlier run")
    tiny.save(tmp_path / "model")
    assert not (tmp_path / "model" / "stale.txt").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    with pytest.raises(UserError, match="not a model folder"):
        tiny.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "precious"


def test_a_save_that_fails_leaves_the_old_model(
    tiny: TextEncoder, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save(tmp_path / "model")

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(encoder_module, "write_layout", fail)
    with pytest.raises(OSError, match="disk full"):
        tiny.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert torch.equal(embed(TextEncoder.load(str(tmp_path / "model")), texts), embed(tiny, texts))


def test_a_saved_folder_names_no_path_of_this_machine(tiny: TextEncoder, tmp_path: Path) -> None:
    tiny.save(tmp_path / "model")
    for path in (tmp_path / "model").rglob("*.json"):
        assert str(tmp_path.parent) not in path.read_text(encoding="utf-8"), path.name
        assert "TokenizersBackend" not in path.read_text(encoding="utf-8")
