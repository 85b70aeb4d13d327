"""A training step with the whole embedding matrix and with the rows of the training texts, in own processes.

python -m benchmarks.embedding_rows [--model e5_small_q4] [--batch 32] [--token-budget 2048]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.collate import Collator
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.world_facts.reader import WorldFactsReader
from hybrid_retrieval.data.token_store import prepare_tokens
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.optim.corpus_tokens import corpus_token_ids
from hybrid_retrieval.optim.trimmed_embedding import trim_embeddings
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import make_strategy

LANGUAGES = ("ar", "de", "en", "hi", "ja", "ru", "th", "zh")
VARIANTS = ("whole", "trimmed")


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Train some steps in this process; the first warms up.

    Returns:
        Medians in seconds: `step`, `backward`, `optimizer` (clipping and step); `mib`: the process's VmHWM;
        `loss` of the last step; of the trimmed variant `tokens` and `pass`, the seconds to find them,
        which the second process takes from the cache.
    """
    corpus = ParallelCorpus.open(folder, "train")
    plan = BatchPlan([corpus], make_strategy("hybrid"), LANGUAGES, options.batch, seed=1)
    encoder = TextEncoder.load(options.model)
    found: dict[str, float] = {}
    if options.variant == "trimmed":
        start = time.perf_counter()
        store = prepare_tokens([corpus], LANGUAGES, encoder.tokenizer, folder.parent)
        ids = corpus_token_ids([corpus], LANGUAGES, store)
        found |= {"pass": time.perf_counter() - start, "tokens": len(ids)}
        trim_embeddings(encoder, ids)
    model = DualEncoder(
        encoder,
        Objective(InfoNCE()),
        lambda groups: torch.optim.AdamW(groups, lr=2e-5, fused=True),
        total_steps=100,
    )
    optimizer = model.configure_optimizers()["optimizer"]
    collate = Collator([corpus], LANGUAGES, encoder.tokenizer, token_budget=options.token_budget)
    seconds: dict[str, list[float]] = {"step": [], "backward": [], "optimizer": []}
    clock = time.process_time if options.cpu_time else time.perf_counter
    for step in range(options.steps + 1):
        batch = collate(plan[step])
        start = clock()
        loss = model.loss(model.embed(batch.queries), model.embed(batch.passages), batch.ids)
        forward = clock()
        loss.backward()
        backward = clock()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        end = clock()
        if step:
            for name, value in zip(seconds, (end - start, backward - forward, end - backward), strict=True):
                seconds[name].append(value)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return (
        found
        | {n: statistics.median(v) for n, v in seconds.items()}
        | {"mib": peak / 1024, "loss": float(loss.detach())}
    )


def main() -> None:
    """Alternate the variants; print medians over their processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="e5_small_q4", help="a named backbone or a folder")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--token-budget", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--cpu-time", action="store_true", help="of all threads, for a machine that is not idle"
    )
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.corpus, options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        build_corpus(WorldFactsReader(LANGUAGES), corpus)
        results: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
        for _ in range(options.repeats):
            for variant in VARIANTS:
                arguments = ["--variant", variant, "--corpus", str(corpus), "--model", options.model]
                arguments += ["--batch", str(options.batch), "--token-budget", str(options.token_budget)]
                arguments += ["--cpu-time"] if options.cpu_time else []
                done = subprocess.run(
                    [
                        sys.executable,
                        "-m",
                        "benchmarks.embedding_rows",
                        *arguments,
                        "--steps",
                        str(options.steps),
                    ],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                results[variant].append(json.loads(done.stdout.splitlines()[-1]))
    for variant, runs in results.items():
        values = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        print(variant + ": " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    losses = [runs[0]["loss"] for runs in results.values()]
    assert abs(losses[0] - losses[1]) < 1e-3, losses


if __name__ == "__main__":
    main()
