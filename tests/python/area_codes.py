"""Every area code of the North American plan and the clocks of the people behind it; those on a border also by hand."""

import csv
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from windows import Place

# Area codes with more than one clock, from maps and not from the table, which must give the same clocks.
BORDERS = {
    # Idaho north of the Salmon River; Malheur County in Oregon; West Wendover in Nevada.
    "208 986": "America/Boise America/Los_Angeles",
    "458 541": "America/Los_Angeles America/Boise",
    "775": "America/Los_Angeles America/Denver",
    # The Navajo Nation moves its clocks, the rest of Arizona does not.
    "928": "America/Phoenix America/Denver",
    # The western Dakotas, Nebraska and Kansas; El Paso and the counties before it; Kenton in Oklahoma.
    "701": "America/Chicago America/North_Dakota/New_Salem America/Denver",
    "605": "America/Chicago America/Denver",
    "308": "America/Chicago America/Denver",
    "620 785": "America/Chicago America/Denver",
    "432 915": "America/Chicago America/Denver",
    "580": "America/Chicago America/Denver",
    # Gary and Evansville in Indiana, Starke County; west Kentucky; Tennessee around Chattanooga and Crossville.
    "219 574": "America/Chicago America/Indiana/Knox America/Indiana/Indianapolis",
    "812 930": "America/Indiana/Indianapolis America/Indiana/Tell_City America/Indiana/Vincennes",
    "270 364 606": "America/Chicago America/Kentucky/Louisville America/Kentucky/Monticello",
    "423 729 931": "America/New_York America/Chicago",
    # The west of Michigan's upper peninsula; Florida west of the Apalachicola; Phenix City in Alabama.
    "906": "America/Detroit America/Menominee",
    "448 850": "America/New_York America/Chicago",
    "334 483": "America/Chicago America/New_York",
    # The Aleutians, and Hyder, which lives with Stewart; Wake Island.
    "907": "America/Anchorage America/Juneau America/Adak America/Vancouver",
    "808": "Pacific/Honolulu Pacific/Wake",
    # British Columbia outside Vancouver; Lloydminster and Creighton in Saskatchewan; north-west Ontario.
    "236 250 257 672 778": "America/Vancouver America/Fort_Nelson America/Dawson_Creek America/Creston America/Edmonton",
    "306 474 639": "America/Regina America/Swift_Current America/Edmonton America/Winnipeg",
    "807": "America/Toronto America/Winnipeg America/Atikokan",
    # The Magdalen Islands and the lower north shore in Quebec; Labrador; the three territories.
    "273 367 418 581": "America/Toronto America/Halifax America/Blanc-Sablon",
    "709 879": "America/St_Johns America/Goose_Bay",
    "867": "America/Whitehorse America/Dawson America/Edmonton America/Inuvik America/Cambridge_Bay America/Rankin_Inlet "
           "America/Resolute America/Iqaluit America/Atikokan",
}


def by_hand() -> dict[str, tuple[str, ...]]:
    return {code: tuple(zones.split()) for codes, zones in BORDERS.items() for code in codes.split()}


def read(folder: Path, territories: dict[str, str]) -> dict[str, Place | None]:
    """Where the people of an area code may be, by the table and by hand together; None where a number has no people."""
    places: dict[str, Place | None] = {}
    with (folder / "numbering" / "nanp_area_codes.csv").open() as file:
        for line in csv.DictReader(text for text in file if not text.startswith("#")):
            places[line["npa"]] = None
            if line["kind"] in ("geographic", "geographic_foreign"):
                country = territories.get(line["country"], line["country"])
                # A country of its own is its own region in the table.
                regions = tuple(region for region in line["regions"].split() if "-" in region)
                places[line["npa"]] = Place(country, regions, tuple((line["zones"] + " " + line["edge_zones"]).split()))
    return places


def clock(zone: str) -> tuple:
    """How a zone's clock goes over two years: zones that agree here are one clock."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return tuple((start + timedelta(days=n)).astimezone(ZoneInfo(zone)).utcoffset() for n in range(730))


def differences(places: dict[str, Place | None]) -> list[str]:
    """Where the table and the list by hand do not name the same clocks."""
    hand, found = by_hand(), []
    clocks = {zone: clock(zone) for place in places.values() if place for zone in place.zones}
    clocks |= {zone: clock(zone) for zones in hand.values() for zone in zones}
    for code, place in places.items():
        table = {clocks[zone] for zone in place.zones} if place else set()
        listed = {clocks[zone] for zone in hand.get(code, ())}
        if (listed or len(table) > 1) and listed != table:
            told, by_us = place.zones if place else ["nobody"], hand.get(code, ["one clock"])
            found.append(f"{code}: the table says {' '.join(told)}, by hand {' '.join(by_us)}")
    return found + [f"{code} is no area code of the table" for code in hand.keys() - places.keys()]


def joined(places: dict[str, Place | None]) -> dict[str, Place | None]:
    """The places with every clock of the table and of the list by hand."""
    hand = by_hand()
    return {code: place and replace(place, zones=tuple(sorted({*place.zones, *hand.get(code, ())}))) for code, place in places.items()}
