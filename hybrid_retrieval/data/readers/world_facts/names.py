"""Names of things in a language, as CLDR (through Babel) gives them."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from babel import Locale, localedata
from babel.core import get_global

LANGUAGES = ("ar", "de", "el", "en", "es", "fr", "hi", "id", "ja", "ru", "th", "tr", "vi", "zh")

# A name with an explanation in brackets, or two names in one, does not fit into a sentence.
_AWKWARD = re.compile(r"[()（）\[\]/|,،、.]|\s[-–]\s|\d{2,}")
_AWKWARD_TERRITORY = re.compile(r"[()（）\[\]/|]|\s[-–]\s")


@dataclass(frozen=True, slots=True)
class Thing:
    """What a sentence can name.

    Attributes:
        type: territory, region, currency, language, script, city, unit, quantity, weekday, time_zone, or
            text (written as it stands in every language).
        key: the CLDR, ISO or IANA identifier; for text the text itself.
    """

    type: str
    key: str


@cache
def locale(language: str) -> Locale:
    """The Babel locale of a language."""
    return Locale(language)


@cache
def unit_patterns(language: str) -> Any:
    """Unit -> length -> plural form -> pattern; Babel has no public accessor for the table."""
    return localedata.LocaleDataDict(localedata.load(language))["unit_patterns"]


def name(language: str, thing: Thing) -> str | None:
    """The name of a thing in citation form, or None where CLDR has none that fits into a sentence."""
    found = _find(language, thing)
    if not found or (thing.type != "text" and found == thing.key):
        return None
    if thing.type in ("text", "time_zone", "weekday"):
        return found
    awkward = _AWKWARD_TERRITORY if thing.type == "territory" else _AWKWARD
    return None if awkward.search(found) or "  " in found else found


def _find(language: str, thing: Thing) -> str | None:  # noqa: PLR0911 - one a type
    data: Any = locale(language)
    match thing.type:
        case "text":
            return thing.key
        case "territory" | "region":
            return _text(data.territories.get(thing.key))
        case "currency":
            return _text(data.currencies.get(thing.key))
        case "language":
            return _text(data.languages.get(thing.key))
        case "script":
            return _text(data.scripts.get(thing.key))
        case "weekday":
            return _text(data.days["stand-alone"]["wide"][int(thing.key)])
        case "time_zone":
            return _text(data.meta_zones.get(thing.key, {}).get("long", {}).get("standard"))
        case "city":
            return _city(language, thing.key)
        case "unit":
            return _unit(language, thing.key)
    raise ValueError(f"unknown type of thing: {thing.type}")


def _text(value: Any) -> str | None:
    return " ".join(str(value).replace("\u00ad", "").split()) if value else None


def _city(language: str, zone: str) -> str | None:
    """The exemplar city of a time zone; in Latin script the zone's own name if there is none (UTS 35)."""
    zones = locale(language).time_zones
    for key in (zone, *_zone_aliases(zone)):
        if city := zones.get(key, {}).get("city"):
            return _text(city)
    if language in ("de", "en", "es", "fr", "id", "tr", "vi"):
        return zone.rsplit("/", 1)[-1].replace("_", " ")
    return None


@cache
def _zone_aliases(zone: str) -> tuple[str, ...]:
    return tuple(sorted(old for old, new in get_global("zone_aliases").items() if new == zone))


def _unit(language: str, unit: str) -> str | None:
    """The singular of a unit: its long pattern for one, without the number."""
    patterns = unit_patterns(language).get(unit, {})
    for length in ("long", "short"):
        forms = patterns.get(length, {})
        pattern = forms.get("one") or forms.get("other")
        if pattern:
            bare = re.sub(r"^\{0\}\s*|\s*\{0\}$", "", pattern)
            return None if "{" in bare else _text(bare)
    return None
