"""Territories the data set speaks about, by UN M49 subregion.

Babel holds the names of the regions but not their containment, so the table is written out here after the
UN Statistics Division's M49 standard (https://unstats.un.org/unsd/methodology/m49/). Left out: uninhabited
territories, territories whose status is disputed, and the special administrative regions of China.
"""

_CONTINENTS = {
    "002": ("015", "011", "017", "014", "018"),
    "019": ("021", "013", "029", "005"),
    "142": ("143", "030", "035", "034", "145"),
    "150": ("151", "154", "039", "155"),
    "009": ("053", "054", "057", "061"),
}

_SUBREGIONS = {
    "015": "DZ EG LY MA SD TN",
    "011": "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG",
    "017": "AO CD CF CG CM GA GQ ST TD",
    "014": "BI DJ ER ET KE KM MG MU MW MZ RE RW SC SO SS TZ UG YT ZM ZW",
    "018": "BW LS NA SZ ZA",
    "021": "BM CA GL PM US",
    "013": "BZ CR GT HN MX NI PA SV",
    "029": "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI",
    "005": "AR BO BR CL CO EC GF GY PE PY SR UY VE",
    "143": "KG KZ TJ TM UZ",
    "030": "CN JP KP KR MN",
    "035": "BN ID KH LA MM MY PH SG TH TL VN",
    "034": "AF BD BT IN IR LK MV NP PK",
    "145": "AE AM AZ BH CY GE IL IQ JO KW LB OM QA SA SY TR YE",
    "151": "BG BY CZ HU MD PL RO RU SK UA",
    "154": "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE",
    "039": "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA",
    "155": "AT BE CH DE FR LI LU MC NL",
    "053": "AU NF NZ",
    "054": "FJ NC PG SB VU",
    "057": "FM GU KI MH MP NR PW",
    "061": "AS CK NU PF PN TK TO TV WF WS",
}

SUBREGION = {territory: region for region, members in _SUBREGIONS.items() for territory in members.split()}
"""ISO 3166-1 alpha-2 code -> M49 code of its subregion."""

CONTINENT = {
    territory: continent
    for continent, regions in _CONTINENTS.items()
    for territory, region in SUBREGION.items()
    if region in regions
}
"""ISO 3166-1 alpha-2 code -> M49 code of its continent."""
