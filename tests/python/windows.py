"""Calling hours read a second time, from the README of the rules alone: which rows close the line at an instant.

Shares nothing with the engine but the data files. A key that this reader does not know is an error, never skipped.
"""

import csv
import functools
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60

# What a calling window may say here. Rows of other countries say more: evenings before holidays, windows for dates.
KNOWN_KEYS = {
    "id", "jurisdiction", "kind", "call_kinds", "audience", "enforced", "statutory", "fallback", "effective_from", "effective_to",
    "lifted_by", "liftable", "lift_scope", "windows", "holiday_calendar", "on_holiday", "advisory_windows", "no_own_hours",
    "citation", "certainty", "uncertain", "note",
}
KNOWN_DAY_KEYS = {
    "name", "fixed", "nth", "nth_plus", "easter_offset_days", "years", "effective_from", "uncertain", "observed_on",
}


@dataclass(frozen=True)
class Call:
    """What the rows ask of a call: how it is made, and whether a written consent is on file. Always to a consumer."""

    kind: str
    consent: bool

    @property
    def grounds(self) -> frozenset[str]:
        return frozenset({"consent", "consent_written", "consent_explicit"} if self.consent else ())

    def __str__(self):
        return f"{self.kind}{'_with_consent' if self.consent else ''}"


@dataclass(frozen=True)
class Place:
    """Where the phone of an area code may ring: the country whose law it is, its regions, and every clock."""

    country: str
    regions: tuple[str, ...]
    zones: tuple[str, ...]

    @property
    def jurisdictions(self) -> tuple[str, ...]:
        return (self.country, *self.regions)


@functools.lru_cache(1 << 18)
def local(zone: str, at: int) -> tuple[date, int]:
    """The date and the minute of the day on a wall in this zone."""
    there = datetime.fromtimestamp(at, ZoneInfo(zone))
    return there.date(), there.hour * 60 + there.minute


def is_within_federal_hours(place: Place, at: int) -> bool:
    """The hours of both countries, written out: the floor under whatever the rows say.

    47 CFR 64.1200(c)(1): 8:00 to 21:00. Unsolicited Telecommunications Rules of the CRTC, parts III and IV: 9:00 to 21:30, on
    Saturdays and Sundays 10:00 to 18:00.
    """
    for zone in place.zones:
        day, minute = local(zone, at)
        if place.country == "US":
            opens, closes = 8 * 60, 21 * 60
        elif place.country == "CA":
            opens, closes = (9 * 60, 21 * 60 + 30) if day.weekday() < 5 else (10 * 60, 18 * 60)
        else:
            return False
        if not opens <= minute < closes:
            return False
    return bool(place.zones)


class Law:
    """The rows that decide when people may be called."""

    def __init__(self, folder: Path):
        files = [tomllib.loads((folder / name).read_text()) for name in ("us.toml", "world.toml")]
        rules = [rule for file in files for rule in file["rule"]]
        self.countries = {rule["jurisdiction"] for rule in rules if re.fullmatch("[A-Y][A-Z]", rule["jurisdiction"])}
        self.territories = {land: law for file in files for law, lands in file["territories"].items() for land in lands}
        self.registers = [
            register["id"] for file in files for register in file["register"] if register["jurisdiction"][:2] in ("US", "CA")]
        self.registrations = sorted({rule["registration"] for rule in rules if rule["kind"] == "registration"})
        self.calendars = {calendar["id"]: calendar for file in files for calendar in file.get("holiday_calendar", [])}
        self.rows = [rule for rule in rules if rule["kind"] == "calling_window"]
        self.row_ids = {row["id"] for row in self.rows}
        self.public: dict[str, set[date]] = {}
        with (folder / "holidays.csv").open() as file:
            for line in csv.DictReader(text for text in file if not text.startswith("#")):
                days = self.public.setdefault(line["country"] + line["region"].removeprefix(line["country"]), set())
                days.update(map(date.fromisoformat, line["dates"].split()))

    def closed_by(self, place: Place, call: Call, at: int) -> frozenset[str]:
        """The ids of the rows that keep the line closed: those that are closed in any of the zones."""
        closed = frozenset()
        for zone in place.zones:
            day, minute = local(zone, at)
            closed |= self.day(day, place.jurisdictions, call)[minute]
        return closed

    @functools.lru_cache(1 << 12)
    def day(self, day: date, jurisdictions: tuple[str, ...], call: Call) -> list[frozenset[str]]:
        """For every minute of a local day the rows that close it."""
        open_in = [(row["id"], self.open_ranges(row, day, jurisdictions, call)) for row in self.matching(day, jurisdictions, call)]
        edges = sorted({0, MINUTES, *(edge for _, ranges in open_in for pair in ranges for edge in pair)})
        minutes = []
        for start, end in zip(edges, edges[1:]):
            closed = frozenset(row for row, ranges in open_in if not any(opens <= start < closes for opens, closes in ranges))
            minutes.extend([closed] * (end - start))
        return minutes

    def edges(self, day: date, jurisdictions: tuple[str, ...], call: Call) -> list[int]:
        """The minutes of a local day at which a row opens or closes."""
        minutes = self.day(day, jurisdictions, call)
        return [minute for minute in range(1, MINUTES) if minutes[minute] != minutes[minute - 1]]

    def matching(self, day: date, jurisdictions: tuple[str, ...], call: Call) -> list[dict]:
        """The rows that set hours for this call."""
        rows = []
        for row in self.rows:
            if row["jurisdiction"] not in (*jurisdictions, "ZZ") or call.kind not in row["call_kinds"]:
                continue
            if unknown := set(row) - KNOWN_KEYS:
                raise ValueError(f"{row['id']} has {sorted(unknown)}, which this reader does not know")
            begins, ends = row.get("effective_from", "0001-01-01"), row.get("effective_to", "9999-12-31")
            if row["audience"] in ("consumer", "both") and begins <= day.isoformat() <= ends:
                rows.append(row)
        rows = [row for row in rows if row.get("enforced", True) and not row.get("no_own_hours", False)]
        own = {row["jurisdiction"] for row in rows if not row.get("fallback", False)}
        # The only fallback row is that of the product: any country or state that has hours displaces it.
        return [row for row in rows if not row.get("fallback", False) or own <= {row["jurisdiction"]}]

    def open_ranges(self, row: dict, day: date, jurisdictions: tuple[str, ...], call: Call) -> list[tuple[int, int]]:
        weekly = next(ranges for days, ranges in row["windows"].items() if DAYS[day.weekday()] in week_days(days))
        is_holiday = "holiday_calendar" in row and self.is_holiday(row["holiday_calendar"], day, jurisdictions)
        if row.get("liftable", True) and call.grounds & set(row.get("lifted_by", ())):
            scope = row.get("lift_scope")
            if scope not in (None, "closed_days"):
                raise ValueError(f"{row['id']} has the lift_scope `{scope}`, which this reader does not know")
            if scope is None or is_holiday or day.weekday() == 6:
                return [(0, MINUTES)]
        return [minute_range(text) for text in (row["on_holiday"] if is_holiday else weekly)]

    def is_holiday(self, calendar: str, day: date, jurisdictions: tuple[str, ...]) -> bool:
        if calendar != "public":
            return any(day in computed_holidays(self.calendars[calendar], year) for year in range(day.year - 1, day.year + 2))
        country, *regions = jurisdictions
        national = self.public.get(country, set())
        # Without data for the country or the year the day counts as a holiday.
        if not any(known.year == day.year for known in national):
            return True
        return any(day in self.public.get(place, ()) for place in (country, *regions))


def week_days(key: str) -> list[str]:
    first, _, last = key.partition("-")
    return list(DAYS[DAYS.index(first):DAYS.index(last or first) + 1])


def minute_range(text: str) -> tuple[int, int]:
    opens, closes = (int(clock[:2]) * 60 + int(clock[3:]) for clock in text.split("-"))
    return opens, closes


def computed_holidays(calendar: dict, year: int) -> set[date]:
    """The days that a calendar closes: each day of its list that falls into this year, and the day it is shifted to."""
    found = set()
    for entry in calendar["days"]:
        if unknown := set(entry) - KNOWN_DAY_KEYS:
            raise ValueError(f"{calendar['id']} has {sorted(unknown)}, which this reader does not know")
        if entry.get("years") == "even" and year % 2:
            continue
        day = holiday(entry, year)
        if day.isoformat() < entry.get("effective_from", ""):
            continue
        found.add(day)
        weekday = day.weekday()
        if entry.get("observed_on") == "monday_of_week":
            found.add(day + timedelta(days=7 - weekday if weekday > 4 else -weekday))
        elif weekday == 6 and calendar["weekend_shift"] in ("sun_to_mon", "sat_to_fri_sun_to_mon"):
            found.add(day + timedelta(days=1))
        elif weekday == 5 and calendar["weekend_shift"] == "sat_to_fri_sun_to_mon":
            found.add(day - timedelta(days=1))
    return found


def holiday(entry: dict, year: int) -> date:
    if "fixed" in entry:
        return date.fromisoformat(f"{year}-{entry['fixed']}")
    if "easter_offset_days" in entry:
        return easter(year) + timedelta(days=entry["easter_offset_days"])
    rule = entry.get("nth") or entry["nth_plus"]
    in_month = [day for day in days_of(year, rule["month"]) if DAYS[day.weekday()] == rule["weekday"]]
    return in_month[rule["n"] - 1 if rule["n"] > 0 else rule["n"]] + timedelta(days=rule.get("plus_days", 0))


def days_of(year: int, month: int) -> list[date]:
    first = date(year, month, 1)
    return [day for day in (first + timedelta(days=n) for n in range(31)) if day.month == month]


def easter(year: int) -> date:
    """Easter Sunday: the first Sunday after the full moon of the church, counted as Gauss did."""
    a, b, c = year % 19, year % 4, year % 7
    century = year // 100
    moon = (15 - (13 + 8 * century) // 25 + century - century // 4) % 30
    week = (4 + century - century // 4) % 7
    d = (19 * a + moon) % 30
    e = (2 * b + 4 * c + 6 * d + week) % 7
    if (d, e) == (29, 6) or (d, e, (11 * moon + 11) % 30 < 19) == (28, 6, True):
        return date(year, 4, 19 if d == 29 else 18)
    return date(year, 3, 22) + timedelta(days=d + e)
