"""`hybrid-retrieval export`: what it writes embeds as before, and is smaller."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.encode import encode_texts
from hybrid_retrieval.models.backbones import backbone_folder, spec_for
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextKind
from hybrid_retrieval.models.training_record import read_record, write_record
from tests.conftest import Command
from tests.own_data import write_own_data

E5 = "e5_small_q4"
KINDS: tuple[TextKind, ...] = ("query", "passage")
PROJECTION = ("model=tiny", "output=out", "projection=parallel", "data@projection.data=jsonl")


def texts_of(data: Path, language: str) -> list[str]:
    lines = (data / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["question"] for row in rows] + [row["passage"] for row in rows]


def dtypes(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


def test_trimmed_to_a_data_set(command: Command, own_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    outcome = command("export", "model=tiny", f"output={out}", "data=jsonl", f"data.path={own_data}")

    assert outcome.status == 0, outcome
    lines = outcome.out.splitlines()
    assert lines[-1] == str(out)
    small, tiny = TextEncoder.load(str(out)), TextEncoder.load("tiny")
    kept = len(small.tokenizer.hf_tokenizer)
    assert lines[0] == f"vocabulary: {kept:,} of {len(tiny.tokenizer.hf_tokenizer):,} tokens"
    texts = texts_of(own_data, "de") + texts_of(own_data, "en")
    for kind in KINDS:
        expected = encode_texts(tiny, texts, kind)
        np.testing.assert_allclose(encode_texts(small, texts, kind), expected, atol=1e-6)
    again = command("export", f"model={out}", f"output={out}2", "dtype=float16")
    assert again.out.splitlines()[0].startswith("weights: ")
    assert ", 0.500 of " in again.out
    assert dtypes(tmp_path / "small2") == {"F16"}
    assert dtypes(out) == {"F32"}
    half = encode_texts(TextEncoder.load(f"{out}2"), texts, "passage")
    np.testing.assert_allclose(half, expected, atol=3e-3)


def test_languages_files_and_prepared_corpora(
    command: Command, own_data: Path, tmp_path: Path, command_cache: Path
) -> None:
    """English alone is less than both; a corpus and a file together are more; German is cut differently."""
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("Fluss\nStadt\n", encoding="utf-8")
    packed.write_bytes(gzip.compress("東京".encode()))
    lines = command("prepare", "data=jsonl", f"data.path={own_data}", "backbone=tiny").out.splitlines()
    (corpus,) = (Path(line) for line in lines if (Path(line) / "corpus.json").is_file())
    tiny = TextEncoder.load("tiny")

    def exported(name: str, *overrides: str) -> TextEncoder:
        outcome = command("export", "model=tiny", f"output={tmp_path / name}", *overrides)
        assert outcome.status == 0, outcome
        return TextEncoder.load(str(tmp_path / name))

    def size(encoder: TextEncoder) -> int:
        return len(encoder.tokenizer.hf_tokenizer)

    both = exported("both", f"trim_vocabulary={corpus}")
    english = exported("english", f"trim_vocabulary={corpus}", "keep_languages=[en]")
    more = exported("more", f"trim_vocabulary=[{corpus},{plain},{packed}]", "keep_languages=[en]")
    assert size(english) < size(both) < size(tiny)
    assert size(english) < size(more)
    for encoder, texts in ((english, texts_of(own_data, "en")), (more, ["Fluss", "Stadt", "東京"])):
        np.testing.assert_allclose(
            encode_texts(encoder, texts, "passage"), encode_texts(tiny, texts, "passage"), atol=1e-6
        )
    assert (
        np.abs(encode_texts(english, ["東京"], "query") - encode_texts(tiny, ["東京"], "query")).max() > 0.01
    )


def test_weights_are_averaged(command: Command, tmp_path: Path) -> None:
    """With equal shares unless they are given."""
    moved = TextEncoder.load("tiny")
    with torch.no_grad():
        for weight in moved.parameters():
            weight.add_(1)
    moved.save(tmp_path / "moved")

    for name, shares, expected in (("equal", [], 0.5), ("given", ["average.shares=[0.25]"], 0.25)):
        average = [f"average.models=[{tmp_path / 'moved'}]", *shares]
        assert command("export", "model=tiny", f"output={tmp_path / name}", *average).status == 0
        found = TextEncoder.load(str(tmp_path / name))
        for mean, weight in zip(found.parameters(), TextEncoder.load("tiny").parameters(), strict=True):
            torch.testing.assert_close(mean - weight, torch.full_like(weight, expected), atol=1e-5, rtol=0)


def test_languages_are_made_alike(command: Command, tmp_path: Path) -> None:
    """On average over what the map was estimated on; with a trimmed vocabulary in half precision too."""
    folder = write_own_data(tmp_path / "data", rows=120)
    projection = [
        *("projection=parallel", "data@projection.data=jsonl", f"projection.data.path={folder}"),
        "projection.data.validation_fraction=0.0",
    ]
    trimmed = ["data=jsonl", f"data.path={folder}", "dtype=float16"]
    passages = {code: texts_of(folder, code)[120:] for code in ("de", "en")}

    def distance(model: str) -> float:
        means = [
            encode_texts(TextEncoder.load(model), of, "passage").mean(axis=0) for of in passages.values()
        ]
        return float(np.linalg.norm(means[0] - means[1]))

    for name, more in (("whole", []), ("small", trimmed)):
        outcome = command("export", "model=tiny", f"output={tmp_path / name}", *projection, *more)
        assert outcome.status == 0, outcome
        assert "projection: from 120 texts in 2 languages" in outcome.out.splitlines()
        # The map is of the embeddings as they were; normalised again, the means are not quite equal.
        assert distance(str(tmp_path / name)) < 0.1 * distance("tiny")
    whole, small = (
        encode_texts(TextEncoder.load(str(tmp_path / name)), passages["de"], "passage")
        for name in ("whole", "small")
    )
    np.testing.assert_allclose(small, whole, atol=0.02)


def test_a_trained_model_keeps_what_trained_it(command: Command, tmp_path: Path) -> None:
    model = tmp_path / "model"
    command("export", "model=tiny", f"output={model}")
    (model / "hybrid_retrieval.json").write_text('{"run": {"seed": 3}}\n', encoding="utf-8")
    assert command("export", f"model={model}", f"output={tmp_path / 'out'}").status == 0

    assert read_record(tmp_path / "out") == {"seed": 3}


def test_what_was_done_to_the_weights_is_kept_beside_what_trained_them(
    command: Command, tmp_path: Path
) -> None:
    """So that an evaluation does not take a mean of models for one of them."""
    model, folder = tmp_path / "model", write_own_data(tmp_path / "data", rows=120)
    command("export", "model=tiny", f"output={model}")
    write_record(model, {"seed": 3})
    mean = ("average.models=[tiny]", "average.shares=[0.25]")
    projection = (
        *("projection=parallel", "data@projection.data=jsonl", f"projection.data.path={folder}"),
        "projection.directions=1",
    )
    for name, changes in (("mean", mean), ("projected", projection)):
        assert command("export", f"model={model}", f"output={tmp_path / name}", *changes).status == 0

    assert read_record(tmp_path / "mean") == {
        "seed": 3,
        "averaged_with": ["tiny"],
        "averaged_shares": [0.25],
    }
    projected = read_record(tmp_path / "projected")
    assert projected is not None
    assert projected.keys() == {"seed", "projection"}
    assert projected["projection"]["directions"] == 1


@pytest.mark.parametrize(
    "mistake",
    [
        (["output=x"], "model=<folder"),
        (["model=tiny"], "output=<folder>"),
        (["model=tiny", "output=out", "dtype=int8"], "dtype=int8"),
        (["model=tiny", "output=out", "keep_languages=[de]"], "keep_languages"),
        (["model=tiny", "output=out", "keep_languages=de", "trim_vocabulary=a.txt"], "keep_languages=de"),
        (["model=tiny", "output=out", "trim_vocabulary=missing.txt"], "missing.txt is neither"),
        (["model=tiny", "output=out", "trim_vocabulary=folder"], "data.path="),
        (["model=tiny", "output=out", "trim_vocabulary=empty.txt"], "there is no text"),
        (["model=tiny", "output=out", "trim_vocabulary=bytes.txt"], "not UTF-8"),
        (["model=tiny", "output=out", "data=jsonl", "keep_languages=[xx]"], "no data set has texts in xx"),
        (["model=tiny", "output=folder"], "not a model folder"),
        (["model=nonsense", "output=out"], "nonsense"),
        (["model=tiny", "output=out", "average.models=tiny"], "average.models=tiny must be a list"),
        (["model=tiny", "output=out", "average.shares=[0.5]"], "average.shares=[0.5]"),
        (["model=tiny", "output=out", "average.models=[tiny]", "average.shares=[2]"], "average.shares=[2]"),
        (["model=tiny", "output=out", "average.models=[nonsense]"], "nonsense"),
        ([*PROJECTION, "projection.texts=0"], "projection.texts=0"),
        ([*PROJECTION, "projection.texts=99"], "projection.texts=99 must be at least 100"),
        ([*PROJECTION, "projection.seed=-1"], "projection.seed=-1"),
        ([*PROJECTION, "projection.directions=-1"], "projection.directions=-1"),
        ([*PROJECTION, "projection.directions=all"], "projection.directions=all"),
        ([*PROJECTION, "projection.shrinkage=0"], "projection.shrinkage=0"),
        ([*PROJECTION, "projection.shrinkage=.inf"], "projection.shrinkage=.inf"),
        ([*PROJECTION, "projection.split=all"], "no split 'all'"),
        (
            [*PROJECTION, "projection.data.options.passage_variants=x"],
            "error: projection.data.options.passage_",
        ),
        ([*PROJECTION, "projection.data.languages=de"], "projection.data.languages=de must be a list"),
        (PROJECTION, "has 57 passages of projection.split=train that all of de, en have"),
        ([*PROJECTION, "projection.data.languages=[de]"], "one language (de)"),
        ([*PROJECTION, "projection.data.languages=[de,xx]"], "no texts in xx"),
        (["model=tiny", "output=out", "projection=nonsense"], "there is no projection=nonsense"),
    ],
)
def test_mistakes(
    command: Command,
    own_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistake: tuple[list[str], str],
) -> None:
    overrides, named = mistake
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    data = [f"data.path={own_data}"] if "data=jsonl" in overrides else []
    data += [f"projection.data.path={own_data}"] if "data@projection.data=jsonl" in overrides else []
    outcome = command("export", *overrides, *data)

    assert outcome.status == 2
    assert named in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_model_itself_is_refused(command: Command, tmp_path: Path) -> None:
    command("export", "model=tiny", f"output={tmp_path / 'model'}")
    outcome = command(
        "export", f"model={tmp_path / 'model'}", f"output={tmp_path / 'model'}", "dtype=float16"
    )

    assert outcome.status == 2
    assert "choose another" in outcome.err
    assert dtypes(tmp_path / "model") == {"F32"}


@pytest.mark.slow
def test_a_real_model_shrinks_and_embeds_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """e5_small_q4, 250,002 pieces, trimmed to the embedded facts in three languages."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)

    from hybrid_retrieval.cli import run  # noqa: PLC0415
    from hybrid_retrieval.data.readers.world_facts import WorldFactsReader  # noqa: PLC0415

    try:
        backbone_folder(spec_for(E5))
    except UserError as error:
        pytest.skip(f"needs the backbone {E5}: {error}")
    languages = ("de", "th", "zh")
    out = tmp_path / "small"
    keep = f"keep_languages=[{','.join(languages)}]"
    assert run(["export", f"model={E5}", f"output={out}", "data=world_facts", keep, "dtype=float16"]) == 0
    assert "of 250,002 tokens" in capsys.readouterr().out
    reader = WorldFactsReader(languages)
    rows = [row for language in languages for row in list(reader.rows(language))[::800]]
    texts = [row.question for row in rows] + [row.passage for row in rows]
    whole, small = TextEncoder.load(E5), TextEncoder.load(str(out))
    assert sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) < 0.2 * 470e6
    theirs = SentenceTransformer(str(out), device="cpu").float()
    for kind, encode in zip(KINDS, (theirs.encode_query, theirs.encode_document), strict=True):
        expected = encode_texts(whole, texts, kind)
        assert (encode_texts(small, texts, kind) * expected).sum(1).min() > 0.9999
        assert (np.asarray(encode(texts)) * expected).sum(1).min() > 0.9999
