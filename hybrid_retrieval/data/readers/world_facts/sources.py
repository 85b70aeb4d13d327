"""What is taken from CLDR and what is left out, with the reasons."""

from hybrid_retrieval.data.readers.world_facts.words import words

# Zimbabwe (2024), Curaçao and Sint Maarten (2025) and Bulgaria (2026) changed their currency: which one Babel
# gives depends on its version.
CURRENCY_CHANGED = frozenset({"BG", "CW", "SX", "ZW"})

# CLDR lists one official language where the law names several or none, or where the law changed lately.
LANGUAGE_UNSURE = words("AX BF ES ET IQ LK ME ML MR NC NE NO PR RS VA ZA")

# Countries whose zone was changed lately, so that names of different CLDR versions disagree.
TIME_ZONE_CHANGED = words("GL IE KP KZ PY SS ST TR WS")

_CITY_CONTINENTS = ("Africa", "America", "Asia", "Australia", "Europe")
_MORE_CITIES = words(
    "Atlantic/Reykjavik Indian/Antananarivo Pacific/Apia Pacific/Auckland Pacific/Honolulu "
    "Pacific/Noumea Pacific/Pago_Pago Pacific/Port_Moresby"
)
# Exemplar places that are islands, provinces, stations or countries rather than cities, and disputed ones.
_NO_CITY = words(
    "Africa/El_Aaiun America/Anguilla America/Antigua America/Aruba America/Bahia "
    "America/Bahia_Banderas America/Barbados America/Belize America/Cayman America/Costa_Rica "
    "America/Curacao America/Danmarkshavn America/Dominica America/El_Salvador America/Grenada "
    "America/Guadeloupe America/Guatemala America/Guyana America/Jamaica America/Lower_Princes "
    "America/Marigot America/Martinique America/Miquelon America/Montserrat America/Noronha "
    "America/Panama America/Puerto_Rico America/St_Barthelemy America/St_Kitts America/St_Lucia "
    "America/St_Thomas America/St_Vincent America/Thule America/Tortola America/Grand_Turk "
    "America/Swift_Current Asia/Bahrain Asia/Brunei Asia/Famagusta Asia/Gaza Asia/Hebron Asia/Hong_Kong "
    "Asia/Jerusalem Asia/Kamchatka Asia/Kuwait Asia/Macau Asia/Qatar Asia/Sakhalin Asia/Singapore "
    "Asia/Taipei Australia/Eucla Australia/Lindeman Australia/Lord_Howe Europe/Andorra Europe/Busingen "
    "Europe/Gibraltar Europe/Guernsey Europe/Isle_of_Man Europe/Jersey Europe/Luxembourg Europe/Malta "
    "Europe/Monaco Europe/San_Marino Europe/Simferopol Europe/Vatican America/Argentina/Catamarca "
    "America/Argentina/Jujuy America/Argentina/Tucuman America/Argentina/Mendoza "
    "America/Argentina/La_Rioja America/Argentina/Cordoba America/Argentina/San_Juan "
    "America/Argentina/San_Luis Asia/Hovd"
)


def is_city(zone: str) -> bool:
    """Whether the exemplar place of an IANA time zone is a city or town of undisputed belonging."""
    continent = zone.split("/", 1)[0]
    return zone in _MORE_CITIES or (continent in _CITY_CONTINENTS and zone not in _NO_CITY)


# Extinct, deprecated or constructed languages, and languages that CLDR names wrongly or by two names.
LANGUAGES_LEFT_OUT = words(
    "ae kj sh vo ho ii ie ia io hz gil den dgr chp gwi crk sms mdf inh lua lu ng nr nd st nso ss ve ts "
    "aa av ik cu za bh no rn lg ny fy ks mo tl tw ia"
)
MORE_LANGUAGES = words("ast ceb fil haw hil ilo mai kok sah tet tyv udm war tpi pap gsw sat kum lez")
# Written in several scripts today, so that "the script" of the language is not one.
SEVERAL_SCRIPTS = words(
    "sr bs az uz kk ky ms pa sd ks ku mn tg tk ha ff jv su cr oj iu sat ug sw za kr ko ja zh kok tt pi "
    "sa tet bm"
)

SCRIPTS = words(
    "Adlm Arab Armn Batk Beng Bopo Bugi Buhd Cakm Cari Cher Copt Cyrl Deva Dsrt Ethi Geor Glag Goth "
    "Grek Guru Hang Hano Hebr Hira Hmng Hung Java Kali Kana Khar Khmr Knda Laoo Latn Lepc Limb Lina "
    "Linb Lyci Lydi Mero Mlym Mong Mtei Mymr Ogam Orya Perm Phag Rohg Sinh Sylo Syrc Tagb Tale Talu "
    "Taml Telu Tfng Tglg Thaa Tibt Ugar Vaii Xpeo"
)

QUANTITIES = words(
    "acceleration angle area digital duration energy force frequency length mass power pressure speed "
    "temperature torque volume"
)
# Words of everyday life rather than units, and names that mean two things in some language.
UNITS_LEFT_OUT = words(
    "acceleration-g-force angle-revolution duration-century duration-day-person duration-decade "
    "duration-month duration-month-person duration-night duration-quarter duration-week-person "
    "duration-year-person energy-calorie energy-foodcalorie force-kilowatt-hour-per-100-kilometer "
    "length-mile-scandinavian length-point mass-grain speed-beaufort speed-light-speed "
    "temperature-generic volume-acre-foot volume-bushel volume-cup volume-cup-metric "
    "volume-dessert-spoon volume-dessert-spoon-imperial volume-drop volume-jigger volume-pinch "
    "volume-pint-metric volume-quart volume-quart-imperial"
)
