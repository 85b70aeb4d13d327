"""The facts: what CLDR (through Babel) and pycountry hold about territories, currencies, languages, ..."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pycountry
from babel import Locale, localedata
from babel.core import get_global

from hybrid_retrieval.data.readers.base import Split
from hybrid_retrieval.data.readers.world_facts import sources
from hybrid_retrieval.data.readers.world_facts.names import LANGUAGES, Thing, name, unit_patterns
from hybrid_retrieval.data.readers.world_facts.regions import CONTINENT, SUBREGION


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: the answer to one kind of question about one subject.

    Attributes:
        kind: for example territory_currency; names the templates.
        entity: what the split is drawn by, for example `territory/FR`; a city has that of its territory.
        subject: what is asked about.
        answer: what the passage says about it.
        context: other true facts about the subject that no question asks for, as (context kind, answer).
        group: facts of equal group are neighbours, and each other's hard negatives.
    """

    kind: str
    entity: str
    subject: Thing
    answer: Thing
    context: tuple[tuple[str, Thing], ...] = field(default=())
    group: str = ""

    @property
    def id(self) -> str:
        """`<kind>:<entity>` and, where the entity is wider than the subject, `/<subject>`."""
        own = self.entity.split("/", 1)[1] == self.subject.key
        return f"{self.kind}:{self.entity}" + ("" if own else f"/{self.subject.key}")

    @property
    def split(self) -> Split:
        """The split of the entity: 70 % train, 10 % validation, 20 % test, by hash."""
        draw = int.from_bytes(hashlib.sha256(self.entity.encode()).digest()[:4], "big") % 100
        return "train" if draw < 70 else "validation" if draw < 80 else "test"


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every fact whose subject and answer have a usable name in every language, sorted by id.

    Dropped are subjects whose name another subject of the same type shares in some language: a question about
    either would have two right passages.
    """
    facts = [fact for fact in _candidates() if _nameable(fact.subject) and _nameable(fact.answer)]
    clashing = _clashing({fact.subject for fact in facts})
    return tuple(sorted((f for f in facts if f.subject not in clashing), key=lambda fact: fact.id))


def _candidates() -> Iterator[Fact]:
    yield from _territory_facts()
    yield from _city_facts()
    yield from _currency_facts()
    yield from _language_facts()
    yield from _script_facts()
    yield from _unit_facts()


@cache
def _nameable(thing: Thing) -> bool:
    return thing.type == "quantity" or all(name(language, thing) for language in LANGUAGES)


def _clashing(things: set[Thing]) -> set[Thing]:
    clashing = set()
    for language in LANGUAGES:
        names = {thing: (thing.type, (name(language, thing) or "").casefold()) for thing in things}
        count = Counter(names.values())
        clashing |= {thing for thing, key in names.items() if count[key] > 1}
    return clashing


def _text(value: str) -> Thing:
    return Thing("text", value)


def _territory_facts() -> Iterator[Fact]:
    for code in sorted(SUBREGION):
        country = pycountry.countries.get(alpha_2=code)
        subject = Thing("territory", code)
        entity, group = f"territory/{code}", SUBREGION[code]
        alpha2 = ("territory_alpha2", _text(code))
        numeric = ("territory_numeric", _text(country.numeric))
        continent = ("territory_continent", Thing("region", CONTINENT[code]))

        def fact(
            kind: str, answer: Thing, *context: tuple[str, Thing], about: Any = (entity, subject, group)
        ) -> Fact:
            return Fact(f"territory_{kind}", about[0], about[1], answer, context, about[2])

        yield fact("subregion", Thing("region", SUBREGION[code]), alpha2, numeric)
        yield fact("alpha3", _text(country.alpha_3), continent, numeric)
        if currency := _currency(code):
            yield fact("currency", Thing("currency", currency), continent, alpha2)
        if language := _official_language(code):
            yield fact("language", Thing("language", language), continent, alpha2)
        if zone := _time_zone(code):
            yield fact("time_zone", Thing("time_zone", zone), continent, alpha2)
        if (day := _first_weekdays().get(code)) is not None:
            yield fact("first_weekday", Thing("weekday", str(day)), continent, alpha2)


def _currency(territory: str) -> str | None:
    """The one currency that is legal tender today, or None where there are several."""
    if territory in sources.CURRENCY_CHANGED:
        return None
    entries = get_global("territory_currencies").get(territory, [])
    current = [code for code, _, end, tender in entries if tender and end is None]
    return current[0] if len(current) == 1 else None


def _official_language(territory: str) -> str | None:
    """The one official language of the whole territory, or None where there are several or only by custom."""
    entries = get_global("territory_languages").get(territory, {})
    status = {tag.split("_")[0]: entry["official_status"] for tag, entry in entries.items()}
    used = [language for language in status if status[language] in ("official", "de_facto_official")]
    unsure = len(used) != 1 or status[used[0]] != "official" or territory in sources.LANGUAGE_UNSURE
    return None if unsure else used[0]


def _time_zone(territory: str) -> str | None:
    """The metazone of a territory with a single time zone."""
    zones = get_global("territory_zones").get(territory, [])
    metazone = get_global("meta_zones").get(zones[0]) if len(zones) == 1 else None
    return None if territory in sources.TIME_ZONE_CHANGED else metazone


@cache
def _first_weekdays() -> dict[str, int]:
    """Territory -> first day of the week (0 = Monday), where all locales of the territory agree."""
    days = defaultdict(set)
    for identifier in sorted(localedata.locale_identifiers()):
        territory = identifier.split("_")[-1]
        if territory in SUBREGION:
            days[territory].add(Locale.parse(identifier).first_week_day)
    return {territory: found.pop() for territory, found in days.items() if len(found) == 1}


def _city_facts() -> Iterator[Fact]:
    for zone, territory in sorted(get_global("zone_territories").items()):
        if territory not in SUBREGION or not sources.is_city(zone):
            continue
        subject, answer = Thing("city", zone), Thing("territory", territory)
        if any(_same_name(language, subject, answer) for language in LANGUAGES):
            continue
        yield Fact(
            "city_territory",
            f"territory/{territory}",
            subject,
            answer,
            (("city_zone", _text(zone)),),
            SUBREGION[territory],
        )


def _same_name(language: str, one: Thing, other: Thing) -> bool:
    return (name(language, one) or "").casefold() == (name(language, other) or "").casefold()


def _currency_facts() -> Iterator[Fact]:
    codes = {_currency(territory) for territory in SUBREGION} - {None}
    for code in sorted(filter(None, codes)):
        currency = pycountry.currencies.get(alpha_3=code)
        if currency:
            denomination = (name("en", Thing("currency", code)) or "").split(" ")[-1]
            yield Fact(
                "currency_code",
                f"currency/{code}",
                Thing("currency", code),
                _text(code),
                (("currency_numeric", _text(currency.numeric)),),
                denomination,
            )


def _language_facts() -> Iterator[Fact]:
    scripts = {tag: subtags.split("_")[1] for tag, subtags in get_global("likely_subtags").items()}
    for language in sorted(pycountry.languages, key=lambda found: str(found.alpha_3)):
        alpha2, alpha3 = getattr(language, "alpha_2", None), language.alpha_3
        tag = alpha2 or alpha3
        if tag in sources.LANGUAGES_LEFT_OUT or not (alpha2 or alpha3 in sources.MORE_LANGUAGES):
            continue
        subject, context = Thing("language", tag), (("language_alpha3", _text(alpha3)),)
        script = scripts.get(tag, "")
        if alpha2:
            yield Fact("language_code", f"language/{tag}", subject, _text(alpha2), context, script)
        if script in sources.SCRIPTS and tag not in sources.SEVERAL_SCRIPTS:
            yield Fact(
                "language_script", f"language/{tag}", subject, Thing("script", script), context, script
            )


def _script_facts() -> Iterator[Fact]:
    for code in sources.SCRIPTS:
        script = pycountry.scripts.get(alpha_4=code)
        context = (("script_numeric", _text(script.numeric)),)
        yield Fact("script_code", f"script/{code}", Thing("script", code), _text(code), context)


def _unit_facts() -> Iterator[Fact]:
    for unit in sorted(unit_patterns("en")):
        quantity = unit.split("-", 1)[0]
        if quantity in sources.QUANTITIES and unit not in sources.UNITS_LEFT_OUT:
            yield Fact(
                "unit_quantity",
                f"unit/{unit}",
                Thing("unit", unit),
                Thing("quantity", quantity),
                (),
                quantity,
            )
