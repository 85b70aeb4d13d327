"""A random two-layer XLM-R with a tokenizer made on the spot: for tests, quick trials and offline machines.

The tokenizer's pieces are counted in CLDR's names of territories, languages and months (Babel). The Unigram
trainer of `tokenizers` is not used: its result differs from process to process.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import babel
import torch
from babel import Locale
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import XLMRobertaConfig, XLMRobertaModel

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.export import EncoderLayout, write_layout, write_tokenizer_config
from hybrid_retrieval.models.hf_folder import quiet_transformers
from hybrid_retrieval.models.manifest import check_manifest, write_manifest

LANGUAGES = ("ar", "de", "el", "en", "es", "fr", "hi", "it", "ja", "pt", "ru", "th", "tr", "vi", "zh")
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
PIECES = 3000
LONGEST_PIECE = 6
HIDDEN = 64
LAYOUT = EncoderLayout(
    pooling="mean",
    prefixes={"query": "query: ", "passage": "passage: "},
    max_length={"query": 256, "passage": 256},
)


def prepare_tiny(cache: Path, seed: int = 0) -> Path:
    """The folder of the tiny backbone inside `cache`, made in under two seconds when it is not there.

    Args:
        cache: the cache folder.
        seed: of the random weights; the same seed gives the same folder content.
    """
    folder = cache / "backbones" / f"tiny-v1-seed{seed}-babel{babel.__version__}"
    try:
        check_manifest(folder, "it is made again")
    except UserError:
        with atomic_folder(folder) as new:
            write_tiny(new, seed)
            write_manifest(new, {"seed": seed, "babel": babel.__version__})
    return folder


def write_tiny(folder: Path, seed: int = 0) -> None:
    """Write the model into an existing folder, in sentence-transformers layout.

    The global random state is left as it was.
    """
    tokenizer = tiny_tokenizer()
    ids = tokenizer.get_vocab()
    special = {name: ids[token] for name, token in SPECIAL.items()}
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * HIDDEN,
        max_position_embeddings=256 + special["pad_token"] + 1,
        type_vocab_size=1,
        bos_token_id=special["bos_token"],
        pad_token_id=special["pad_token"],
        eos_token_id=special["eos_token"],
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_tokenizer_config(
        folder, {**SPECIAL, "cls_token": "<s>", "sep_token": "</s>", "model_max_length": 256}
    )
    write_layout(folder, LAYOUT, HIDDEN)


def tiny_tokenizer() -> Tokenizer:
    """A Unigram tokenizer over pieces of up to six characters, with bytes for characters it does not know."""
    counts = _count_pieces()
    characters = sorted(piece for piece in counts if len(piece) == 1)
    longer = sorted((p for p in counts if len(p) > 1), key=lambda p: (-counts[p] * (len(p) - 1), p))
    # Each prefix is one token: prefixes should not dominate a short text.
    prefixes = [f"▁{prefix.strip()}" for prefix in LAYOUT.prefixes.values()]
    pieces = list(dict.fromkeys([*characters, *prefixes, *longer]))[:PIECES]
    total = sum(counts[piece] for piece in pieces)
    vocabulary = [(token, 0.0) for token in SPECIAL.values()]
    # Below every other piece, so that bytes are the last resort.
    vocabulary += [(f"<0x{byte:02X}>", -2 * math.log(total)) for byte in range(256)]
    vocabulary += [(piece, math.log(counts[piece] / total)) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(list(SPECIAL.values()))
    return tokenizer


def _count_pieces() -> Counter[str]:
    normalise = normalizers.NFKC().normalize_str
    words = Counter(
        "▁" + word for name in _names() for word in normalise(name).split() if not word.startswith("<")
    )
    counts: Counter[str] = Counter({chr(code): 1 for code in range(33, 127)})
    for word, count in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + LONGEST_PIECE, len(word)) + 1):
                counts[word[start:end]] += count
    counts.update({f"▁{prefix.strip()}": 200 for prefix in LAYOUT.prefixes.values()})
    return counts


def _names() -> Iterator[str]:
    for language in LANGUAGES:
        locale = Locale.parse(language)
        yield from locale.territories.values()
        yield from locale.languages.values()
        yield from locale.months["format"]["wide"].values()
