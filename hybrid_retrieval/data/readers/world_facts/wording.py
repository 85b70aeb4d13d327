"""A fact put into the words of a language: templates, inflected names, sentences."""

import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import TypedDict

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.data.readers.world_facts import grammar
from hybrid_retrieval.data.readers.world_facts.facts import Fact
from hybrid_retrieval.data.readers.world_facts.names import Thing, name

_SLOT = re.compile(r"\{([so])(?:\.([a-z]+))?\}")
_NO_SPACE_BETWEEN_SENTENCES = frozenset({"ja", "zh"})


class Templates(TypedDict):
    """The templates of one language; `templates/README.md` says how they are written.

    Attributes:
        questions: kind -> at least three phrasings of the question.
        statements: kind or context kind -> sentences that state the fact and name the subject.
        follow: kind or context kind -> a sentence that states the fact after another one named the subject.
        quantities: name of each quantity that a unit measures.
    """

    questions: dict[str, list[str]]
    statements: dict[str, list[str]]
    follow: dict[str, str]
    quantities: dict[str, str]


@cache
def templates(language: str) -> Templates:
    """The templates of a language."""
    source = resources.files(__package__).joinpath("templates", f"{language}.yaml")
    loaded: Templates = yaml.safe_load(source.read_text(encoding="utf-8"))
    return loaded


def draw(*parts: str, below: int) -> int:
    """A number in [0, below) that depends on the parts alone, never on the language or the process."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") % below


def question_count(fact: Fact) -> int:
    """How many questions ask for the fact: two for most, one for every third."""
    return 1 if draw("count", fact.id, below=3) == 0 else 2


def question(language: str, fact: Fact, number: int) -> str:
    """The `number`-th question (from 0) for the fact; the phrasing has the same index in every language."""
    phrasings = templates(language)["questions"][fact.kind]
    chosen = (draw("question", fact.id, below=len(phrasings)) + number) % len(phrasings)
    return _sentence(language, phrasings[chosen], fact.subject, fact.answer)


def passage(language: str, fact: Fact) -> str:
    """The passage of the fact: one to three sentences, with the same plan in every language.

    The plan is drawn from the fact: the fact alone; the fact, then one or two facts of context; or a fact of
    context first and the fact, without the subject's name, after it.
    """
    texts = templates(language)
    statements = texts["statements"][fact.kind]
    statement = statements[draw("statement", fact.id, below=len(statements))]
    stated = _sentence(language, statement, fact.subject, fact.answer)
    if not fact.context:
        return stated
    start = draw("context", fact.id, below=len(fact.context))
    context = fact.context[start:] + fact.context[:start]

    def follow(kind: str, answer: Thing) -> str:
        return _sentence(language, texts["follow"][kind], fact.subject, answer)

    match draw("plan", fact.id, below=4):
        case 0:
            sentences = [stated]
        case 1:
            sentences = [stated, follow(*context[0])]
        case 2:
            kind, answer = context[0]
            opening = _sentence(language, texts["statements"][kind][0], fact.subject, answer)
            sentences = [opening, follow(fact.kind, fact.answer)]
        case _:
            sentences = [stated, *(follow(*each) for each in context)]
    return ("" if language in _NO_SPACE_BETWEEN_SENTENCES else " ").join(sentences)


@cache
def forms(language: str, thing: Thing) -> dict[str, str]:
    """The forms a name takes in sentences: "" for the citation form, and those of the language's grammar."""
    if thing.type == "quantity":
        citation = templates(language)["quantities"][thing.key]
    else:
        citation = name(language, thing) or ""
    inflect: Callable[[str, str, str], dict[str, str]] | None = grammar.RULES.get(language)
    inflected = inflect(thing.type, thing.key, citation) if inflect else {}
    return {"": citation, **inflected}


def _sentence(language: str, template: str, subject: Thing, answer: Thing) -> str:
    things = {"s": subject, "o": answer}

    def fill(slot: re.Match[str]) -> str:
        return forms(language, things[slot[1]])[slot[2] or ""]

    return _capitalised(language, _SLOT.sub(fill, template))


def _capitalised(language: str, text: str) -> str:
    """The text with its first letter as a capital, as long as no digit stands before it."""
    for i, character in enumerate(text):
        if character.isdigit():
            break
        if character.isalpha():
            capital = "İ" if language == "tr" and character == "i" else character.upper()
            return text[:i] + capital + text[i + 1 :]
    return text
