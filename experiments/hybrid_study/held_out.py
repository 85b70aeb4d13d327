"""Writes what the recipe is chosen on: held_out.py <folder of the data> <folder to write>. Plain Python.

- `parallel-qa/ntrex-held-out`: pseudo-queries of every second document of NTREX, in 11 languages
  (`benchmark=parallel`);
- `parallel-qa/ntrex-half`, `parallel-sentences/ntrex-half`: the other documents, to train on meanwhile;
- `new_wiki_sentences`: sentences of 240 paragraphs of SQuADShifts' new_wiki, and their questions
  (`benchmark=beir`): in the manner of XQuAD-R, of other Wikipedia articles, in English.
"""

import gzip
import json
import random
import re
import sys
from collections.abc import Iterable
from pathlib import Path

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
PARAGRAPHS, QUESTIONS, SHORTEST = 240, 5, 20  # of a paragraph, at most; characters of a sentence
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]?[A-Z0-9])")


def read_lines(path: Path) -> list[str]:
    """Lines of a gzip file, ended by a line feed and nothing else."""
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, with gzip if its name says so; the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def halve_ntrex(data: Path, out: Path) -> None:
    """Divide NTREX's documents between training and the held-out set."""
    documents = (data / "parallel-sentences/ntrex/DOCUMENT_IDS.tsv").read_text().split()
    held_out = set(list(dict.fromkeys(documents))[::2])
    for language in LANGUAGES:
        name = f"{language}.jsonl.gz"
        rows = [json.loads(line) for line in read_lines(data / "parallel-qa/pseudo-ntrex" / name)]
        in_half = {row["id"]: row["id"].removeprefix("ntrex/").rsplit("#")[0] not in held_out for row in rows}
        kept = (json.dumps(row, ensure_ascii=False) for row in rows if in_half[row["id"]])
        write_lines(out / "parallel-qa/ntrex-half" / name, kept)
        tested = (
            json.dumps(row | {"split": "test"}, ensure_ascii=False) for row in rows if not in_half[row["id"]]
        )
        write_lines(out / "parallel-qa/ntrex-held-out" / name, tested)
        sentences = read_lines(data / f"parallel-sentences/ntrex/{language}.txt.gz")
        write_lines(
            out / f"parallel-sentences/ntrex-half/{language}.txt.gz",
            (text for document, text in zip(documents, sentences, strict=True) if document not in held_out),
        )


def new_wiki_sentences(data: Path, out: Path) -> None:
    """Cut Wikipedia paragraphs into sentences, as a collection in BEIR's format."""
    articles = json.loads("\n".join(read_lines(data / "squadshifts/new_wiki_v1.0.json.gz")))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    random.Random(0).shuffle(paragraphs)
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number, paragraph in enumerate(paragraphs[:PARAGRAPHS]):
        text, start, spans = paragraph["context"], 0, []
        for end in SENTENCE_END.finditer(text):
            if end.start() - start > SHORTEST:
                spans.append((start, end.start()))
                start = end.end()
        spans.append((start, len(text)))
        corpus += [{"_id": f"{number}:{i}", "text": text[a:b]} for i, (a, b) in enumerate(spans)]
        for question in paragraph["qas"][:QUESTIONS]:
            at = question["answers"][0]["answer_start"]
            for i in [i for i, (a, b) in enumerate(spans) if a <= at < b]:
                queries.append({"_id": question["id"], "text": question["question"]})
                qrels.append(f"{question['id']}\t{number}:{i}\t1")
    folder = out / "new_wiki_sentences"
    write_lines(folder / "corpus.jsonl", map(json.dumps, corpus))
    write_lines(folder / "queries.jsonl", map(json.dumps, queries))
    write_lines(folder / "qrels/test.tsv", qrels)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    halve_ntrex(source, target)
    new_wiki_sentences(source, target)
