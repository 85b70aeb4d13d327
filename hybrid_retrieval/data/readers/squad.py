"""The reader of a folder of SQuAD JSON, one file a language."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_retrieval.data.file_hashes import HashFile, sha256_of
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.fields import id_field, list_field, object_of, text_field
from hybrid_retrieval.data.readers.language_files import content_fingerprint, find_language_files, read_json
from hybrid_retrieval.errors import UserError


@dataclass(frozen=True)
class SquadParagraph:
    """A paragraph with its questions.

    Attributes:
        where: file and place, for messages.
        context: the text.
        label: the id that the file gives the paragraph, if it gives one.
        questions: the id and the entry of each question.
    """

    where: str
    context: str
    label: str | None
    questions: list[tuple[str, dict[str, object]]]


class SquadReader:
    """Rows from LANG.json or LANG.json.gz in the format of SQuAD 1.1 or 2.0, joined by question id.

    The row id is the question id and the passage is the whole paragraph. Which paragraphs are translations
    of each other follows from the question ids, not from titles or positions: two paragraphs with a
    question id in common are one passage, and so is a chain of such paragraphs, in one language or in
    several; languages may hold different subsets of the questions. Paragraphs with equal `paragraph_id` are
    one passage too. The passage id is the `paragraph_id` where one paragraph of the chain has it, else
    "question:" and the smallest question id of the chain. Questions marked `is_impossible` are dropped, but
    count as links. One language's file is held in memory at a time.

    Args:
        path: the folder.
        languages: the languages to read, or None for every file.
        files: the file of each language, where they are called otherwise.

    Raises:
        UserError: the folder or its files are not as described.
    """

    def __init__(
        self,
        path: str | Path,
        languages: Sequence[str] | None = None,
        *,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        found = find_language_files(Path(path), "json", languages) if files is None else files
        self._files = {language: found[language] for language in sorted(found)}
        self._passage_ids: dict[str, str] | None = None
        self.name = Path(path).resolve().name

    def languages(self) -> list[str]:
        """The language codes, sorted."""
        return list(self._files)

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """SHA-256 of the files."""
        return content_fingerprint("squad 1", {}, self._files, hash_file)

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the answerable questions of a language, in the order of its file.

        Raises:
            UserError: a file is malformed, or two paragraph ids share a question id.
        """
        if self._passage_ids is None:
            self._passage_ids = self._link()
        for paragraph in squad_paragraphs(self._files[language]):
            for where, qa in paragraph.questions:
                row_id = id_field(qa, "id", where)
                question = text_field(qa, "question", where)
                if _impossible(qa, where):
                    continue
                yield Row(row_id, question, paragraph.context, self._passage_ids[row_id])

    def where(self, language: str, row_id: str) -> str:
        """File and positions of the questions with this id, for messages."""
        path = self._files[language]
        found = [
            where.removeprefix(f"{path}: ")
            for paragraph in squad_paragraphs(path)
            for where, qa in paragraph.questions
            if id_field(qa, "id", where) == row_id
        ]
        return f"{path}: {', '.join(found)}"

    def _link(self) -> dict[str, str]:
        """Passage id of each question id, from the paragraphs of all languages."""
        chains = _Chains()
        label_at: dict[str, str] = {}
        for path in self._files.values():
            for paragraph in squad_paragraphs(path):
                nodes = [f"q{id_field(qa, 'id', where)}" for where, qa in paragraph.questions]
                if paragraph.label is not None and nodes:
                    nodes.append(f"p{paragraph.label}")
                    label_at.setdefault(paragraph.label, paragraph.where)
                for node in nodes:
                    chains.join(nodes[0], node)
        label_of: dict[str, str] = {}
        for label, where in label_at.items():
            other = label_of.setdefault(chains.root(f"p{label}"), label)
            if other != label:
                raise UserError(
                    f"{where}: the paragraph_id {label!r} and {other!r} ({label_at[other]}) are linked by a "
                    "question id that stands in both. Correct the paragraph ids or the question ids."
                )
        smallest: dict[str, str] = {}
        questions = [node for node in chains.nodes() if node.startswith("q")]
        for node in questions:
            root = chains.root(node)
            smallest[root] = min(smallest.get(root, node), node)
        return {
            node[1:]: label_of.get(root, f"question:{smallest[root][1:]}")
            for node, root in ((node, chains.root(node)) for node in questions)
        }


class _Chains:
    """Disjoint sets of strings."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def nodes(self) -> list[str]:
        return list(self._parent)

    def root(self, node: str) -> str:
        parent = self._parent
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, a: str, b: str) -> None:
        self._parent[self.root(b)] = self.root(a)


def squad_paragraphs(path: Path) -> Iterator[SquadParagraph]:
    """The paragraphs of a file in SQuAD's format, plain or .gz.

    Raises:
        UserError: the file is missing or malformed.
    """
    content = read_json(path)
    top = object_of(content, f"{path}:1")
    for a, article in enumerate(list_field(top, "data", f"{path}: the top level")):
        at_article = f"{path}: data[{a}]"
        paragraphs = list_field(object_of(article, at_article), "paragraphs", at_article)
        for p, item in enumerate(paragraphs):
            where = f"{at_article}.paragraphs[{p}]"
            paragraph = object_of(item, where)
            yield SquadParagraph(
                where,
                text_field(paragraph, "context", where),
                id_field(paragraph, "paragraph_id", where)
                if paragraph.get("paragraph_id") is not None
                else None,
                [
                    (f"{where}.qas[{q}]", object_of(qa, f"{where}.qas[{q}]"))
                    for q, qa in enumerate(list_field(paragraph, "qas", where))
                ],
            )


def _impossible(qa: dict[str, object], where: str) -> bool:
    value = qa.get("is_impossible", False)
    if not isinstance(value, bool):
        raise UserError(f"{where}: 'is_impossible' must be true or false, not {value!r}. Correct the field.")
    return value
