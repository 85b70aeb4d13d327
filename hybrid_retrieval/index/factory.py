"""From an `index` configuration to a search over a corpus."""

import logging
import math
import re
from pathlib import Path

from omegaconf import DictConfig

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.base import Searcher, Vectors
from hybrid_retrieval.index.chunks import fingerprint_of
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.faiss_index import FaissIndex, IndexSpec
from hybrid_retrieval.number_options import check_number

log = logging.getLogger(__name__)

LEAST_PER_LIST = 39


def open_index(cfg: DictConfig, vectors: Vectors) -> Searcher:
    """Make or load the index of a corpus.

    Args:
        cfg: one of `conf/index/`. `folder` may serve several corpora: each has a folder of its own in it,
            named after the fingerprint of the embeddings.
        vectors: the corpus.

    Raises:
        UserError: a setting that does not fit, FAISS is missing, or as `FaissIndex.build` says.
    """
    if cfg.name == "exact":
        return ExactSearch(vectors)
    if not cfg.factory:
        raise UserError(
            "index=factory needs FAISS's index factory string, with quotes around it because of its commas: "
            "'index.factory=\"IVF4096,PQ48x4fs,RFlat\"'."
        )
    nprobe, ef_search, k_factor = (_whole(cfg, name) for name in ("nprobe", "ef_search", "k_factor"))
    _whole(cfg, "recall_queries", least=0)
    spec = IndexSpec(
        factory=fill_factory(str(cfg.factory), len(vectors), vectors.dimension, nlist=_whole(cfg, "nlist")),
        train_size=_whole(cfg, "train_size"),
        seed=_whole(cfg, "seed", least=0) or 0,
        ef_construction=_whole(cfg, "ef_construction"),
    )
    folder = Path(str(cfg.folder)) / fingerprint_of(vectors)[:16] if cfg.get("folder") else None
    index = FaissIndex.build(vectors, spec, device=str(cfg.device), folder=folder)
    index.set_search(nprobe=nprobe, ef_search=ef_search, k_factor=k_factor)
    return index


def lists_for(count: int) -> int:
    """How many lists an inverted file over `count` embeddings should have.

    4 sqrt(count), rounded to the nearest power of two (on a logarithmic scale), but at most count / 39 and at
    least 1: FAISS's guide asks for 4 sqrt(n) to 16 sqrt(n) lists below a million embeddings, and its
    clustering for 39 training embeddings a list. So a small corpus gets few lists, down to the one list that
    is searched as a whole.

    Source: https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index
    """
    wanted = round(math.log2(4 * math.sqrt(max(1, count))))
    allowed = math.floor(math.log2(max(1, count // LEAST_PER_LIST)))
    return int(2 ** max(0, min(wanted, allowed)))


def fill_factory(template: str, count: int, dimension: int, *, nlist: int | None = None) -> str:
    """Put numbers in place of the words in braces of an index factory string.

    `{nlist}` becomes the number of lists, and `{dimension/4}` (with any divisor) the number of subquantisers
    of about so many dimensions each: the greatest number that divides the dimension and is not above
    dimension / 4.

    Args:
        template: such as "IVF{nlist},PQ{dimension/4}x4fs,RFlat"; without braces it stays as it is.
        count: number of embeddings.
        dimension: of each.
        nlist: the number of lists; None chooses by `lists_for`.

    Raises:
        UserError: more lists than embeddings, another word in braces, or `nlist` that the string does not
            take.
    """
    if nlist is not None and not 1 <= nlist <= count:
        raise UserError(
            f"index.nlist={nlist} is not possible: it takes 1 to {count}, the number of embeddings."
        )
    if nlist is not None and "{nlist}" not in template:
        raise UserError(
            f"index.nlist={nlist} has no place in index.factory={template!r}, which lacks {{nlist}}."
        )
    if nlist is not None and nlist * LEAST_PER_LIST > count:
        log.warning("%d embeddings are few for index.nlist=%d: FAISS asks for 39 a list.", count, nlist)

    def number(word: re.Match[str]) -> str:
        if word[1] == "nlist":
            return str(nlist if nlist is not None else lists_for(count))
        divided = re.fullmatch(r"dimension/([1-9]\d*)", word[1])
        if not divided:
            raise UserError(
                f"index.factory={template!r}: {word[0]} is unknown; known are {{nlist}} and {{dimension/4}}."
            )
        most = max(1, dimension // int(divided[1]))
        return str(next(n for n in range(most, 0, -1) if dimension % n == 0))

    return re.sub(r"\{([^{}]*)\}", number, template)


def _whole(cfg: DictConfig, name: str, *, least: int = 1) -> int | None:
    """A setting that is null, missing or a whole number."""
    value: int | None = cfg.get(name)
    check_number(f"index.{name}", value, least=least, whole=True, null=True)
    return value
