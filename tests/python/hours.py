"""Calling hours of the built binary against a reading of the same rules in another language, with zone data of its own.

`hours.py` asks about every area code at the edges of its windows; `hours.py --every-minute` about every minute of the four
days around both changes of the clocks, from the first midnight to the last in any of the code's zones. Both ask about days
of the rest of the time, drawn by a fixed seed. No allow may lie outside the window of any zone that the number may be in, and
the rows of kind `calling_window` that deny must be exactly those that this side finds closed.
"""

import argparse
import contextlib
import functools
import itertools
import json
import random
import re
import subprocess
import sys
import threading
import time
import traceback
import zoneinfo
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import tzdata

import area_codes
from windows import Call, Law, Place, is_within_federal_hours
from world import BINARY, ROOT

OLDEST_ZONES = "2026e"
CHANGES = [date(2026, 3, 8), date(2026, 11, 1)]
# From the Saturday before to the Tuesday behind the change.
AROUND = [-1, 0, 1, 2]
# A Wednesday on which nobody's line is closed all day.
PLAIN_DAY = date(2026, 3, 11)
SAMPLED = [date(2026, 1, 1) + timedelta(days=n) for n in range(2 * 365)]
AGREED = Call("live_manual", True)
CALLS = [AGREED, Call("live_manual", False), Call("autodialed", True), Call("prerecorded", True)]
SHOWN = 5

# One question: a call to the code at an instant. Its answer: the verdict and the rows that deny.
Question = tuple[str, Call, int]
Answer = tuple[str, frozenset[str]]


@functools.lru_cache(1 << 15)
def text(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def midnight(zone: str, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


class Engine:
    """The binary that judges cases line by line: a thread writes, the caller reads, the pipe bounds what lies between."""

    def __init__(self, binary: Path, law: Law):
        self.binary, self.law = binary, law

    def zone_data(self) -> str:
        said = subprocess.run([str(self.binary), "--version"], check=True, capture_output=True, text=True).stdout
        return re.search(r"\b20\d\d[a-z]\b", said).group()

    @functools.lru_cache(1 << 10)
    def case(self, call: Call, checked_on: str) -> str:
        """A case with every fact in order that is not about the clock, open for its name, code and instants."""
        registers = [{"register": register, "listed": False, "as_of": checked_on} for register in self.law.registers]
        consent = {"action": "given", "at": "%(before)s", "form": "written", "explicit": True, "documented": True,
                   "period": "indefinite", "initiated_by": "person"}
        return json.dumps({
            "id": "%(id)s",
            "call": {"at": "%(at)s", "to": "+1%(code)s5550142", "from": "+14045550100", "call_kind": call.kind, "seller_type": "nonprofit"},
            "facts": {
                "audience": "consumer", "line_type": "landline", "registers": registers, "consents": [consent] if call.consent else [],
                "caller_id": {"owned": True, "callable": True, "in_directory": True}, "notice": {"version": "n"},
                "registrations": [{"id": registration} for registration in self.law.registrations],
            },
        }) + "\n"

    def line(self, question: Question) -> str:
        code, call, at = question
        yesterday = text(at - at % 86400 - 86400)[:10]
        return self.case(call, yesterday) % {"id": name(question), "code": code, "at": text(at), "before": text(at - 48 * 3600)}

    def write(self, stream, questions) -> None:
        # Whatever goes wrong here, the stream ends, and the reader tells which answers are missing.
        with contextlib.suppress(BrokenPipeError), stream:
            for some in iter(lambda: list(itertools.islice(questions, 1000)), []):
                stream.write("".join(map(self.line, some)).encode())

    def answers(self, questions):
        """One line for each question, in the same order."""
        process = subprocess.Popen([str(self.binary), "policy", "eval"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)
        writer = threading.Thread(target=self.write, args=(process.stdin, questions), daemon=True)
        writer.start()
        try:
            yield from process.stdout
            assert process.wait(30) == 0, f"`policy eval` ended with {process.returncode}"
        finally:
            process.kill()
            process.wait()


def name(question: Question) -> str:
    code, call, at = question
    return f"{code} {call} {text(at)}"


class Comparison:
    """Holds answers against the oracle; counts what differs and keeps the first few of each sort."""

    def __init__(self, law: Law, places: dict[str, Place | None]):
        self.law, self.places = law, places
        self.around: tuple[Place | None, Call | None] = (None, None)
        self.expected: dict[int, tuple[frozenset[str], bool]] = {}
        self.cases = self.allowed = 0
        self.codes_allowed: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.shown: list[str] = []

    def fault(self, sort: str, question: Question, told: str) -> None:
        self.faults[sort] += 1
        if self.faults[sort] <= SHOWN:
            self.shown.append(f"{sort}: {name(question)}: {told}")

    def run(self, questions, answers) -> None:
        for question, line in itertools.zip_longest(questions, answers):
            if question is None:
                self.fault("an answer without question", ("", CALLS[0], 0), str(line[:200]))
            elif line is None:
                self.fault("no answer", question, "the output ended")
                return
            else:
                self.compare(question, line)

    def compare(self, question: Question, line: bytes) -> None:
        """Takes one line apart by hand, for most of its bytes are explanations that nobody needs here."""
        self.cases += 1
        start = b'{"id":"%b",' % name(question).encode()
        middle, ending = line.find(b',"rules":'), line.rfind(b',"jurisdictions":')
        if not line.startswith(start) or middle < 0 or ending < 0:
            self.fault("no answer", question, str(line[:200]))
            return
        answer = read_head(line[len(start):middle])
        zones = read_tail(line[ending + 1:line.index(b"]", line.index(b'"zones":', ending)) + 1])
        self.judge(question, answer, zones)

    def judge(self, question: Question, answer: Answer, zones: frozenset[str]) -> None:
        code, call, at = question
        place = self.places[code]
        for sort, told in wrongs(self.law, place, call, *self.hours(place, call, at), answer, zones):
            self.fault(sort, question, told)
        if answer[0] == "allow":
            self.allowed += 1
            self.codes_allowed.add(code)

    def hours(self, place: Place | None, call: Call, at: int) -> tuple[frozenset[str], bool]:
        """The rows that close the line, and whether the hours written out by hand are open; kept for the codes of one place."""
        if place is None:
            return frozenset(), False
        if self.around[0] is not place or self.around[1] is not call:
            if self.around != (place, call):
                self.expected.clear()
            self.around = place, call
        if at not in self.expected:
            self.expected[at] = self.law.closed_by(place, call, at), is_within_federal_hours(place, at)
        return self.expected[at]


@functools.lru_cache(1 << 14)
def wrongs(
    law: Law, place: Place | None, call: Call, closed: frozenset[str], within: bool, answer: Answer, zones: frozenset[str],
) -> list[tuple[str, str]]:
    """What is wrong with an answer, by its sort, when these rows are closed."""
    verdict, denied_by = answer
    allowed, told, found = verdict == "allow", f"{verdict} by {sorted(denied_by)}", []
    if allowed != (not denied_by):
        found.append(("a verdict without its rules", told))
    if place is None:
        if allowed or "POLICY-not-dialable" not in denied_by:
            found.append(("a number without people was not refused", told))
        return found
    has_rules = place.country in law.countries
    told = f"{told}, found closed {sorted(closed)} in {' '.join(place.zones)}"
    if allowed and (closed or not within or not has_rules):
        found.append(("ALLOWED OUTSIDE A WINDOW", told))
    if closed - denied_by and not allowed:
        found.append(("a closed row did not deny", told))
    if (denied_by & law.row_ids) - closed:
        found.append(("an open row denied", told))
    if not has_rules and "POLICY-no-rules" not in denied_by:
        found.append(("a country without rules was not refused", told))
    # Nothing else may hide behind the hours: a live call to a person who agreed is a call once they let it through.
    if has_rules and call == AGREED and not allowed and not closed:
        found.append(("denied inside every window", told))
    if set(map(same_clock, place.zones)) != set(map(same_clock, zones)):
        found.append(("other clocks", f"answered {sorted(zones)}, found {' '.join(place.zones)}"))
    return found


@functools.lru_cache(1 << 14)
def read_head(head: bytes) -> Answer:
    answer = json.loads(b"{%b}" % head)
    return answer["verdict"], frozenset(answer["denied_by"])


@functools.lru_cache(1 << 14)
def read_tail(tail: bytes) -> frozenset[str]:
    return frozenset(json.loads(b"{%b}" % tail)["zones"])


same_clock = functools.lru_cache(None)(area_codes.clock)


# ---- what is asked ----------------------------------------------------------------------------------------------------


def zones_of(place: Place | None) -> tuple[str, ...]:
    return place.zones if place else ("America/New_York",)


def every_minute(place: Place | None, change: date) -> range:
    """From the first midnight to the last in any of the zones."""
    first = min(midnight(zone, change + timedelta(days=AROUND[0])) for zone in zones_of(place))
    last = max(midnight(zone, change + timedelta(days=AROUND[-1] + 1)) for zone in zones_of(place))
    return range(first, last, 60)


def at_the_edges(law: Law, place: Place | None, call: Call, days: list[date]) -> list[int]:
    """The seconds before and at which a row opens or closes, in every zone; midnight and the hours that clocks skip and repeat."""
    found = set()
    for zone, day in itertools.product(zones_of(place), days):
        edges = law.edges(day, place.jurisdictions, call) if place else [12 * 60]
        for minute in {0, 90, 150, *edges}:
            hour, rest = divmod(minute, 60)
            wall = datetime(day.year, day.month, day.day, hour, rest, tzinfo=ZoneInfo(zone))
            found |= {int(wall.replace(fold=fold).timestamp()) + second for fold in (0, 1) for second in (-1, 0)}
    return sorted(found)


def few_questions(law: Law, places: dict[str, Place | None]):
    """Every code around one change, on a plain day and on a drawn one, by all sorts of call in turn."""
    for nth, (code, place) in enumerate(places.items()):
        drawn = random.Random(code)
        day = CHANGES[nth % 2] + timedelta(days=AROUND[nth // 2 % 4])
        for call, days in [(AGREED, [day, PLAIN_DAY]), (CALLS[nth % 3 + 1], [day, drawn.choice(SAMPLED)])]:
            for at in at_the_edges(law, place, call, days):
                yield code, call, at


def all_questions(law: Law, places: dict[str, Place | None]):
    """Every code by every call, place by place, so that each place is worked out once."""
    by_place = sorted(places.items(), key=lambda item: repr(item[1]))
    for place, group in itertools.groupby(by_place, key=lambda item: item[1]):
        codes = [code for code, _ in group]
        for call, change in itertools.product(CALLS, CHANGES):
            minutes = every_minute(place, change)
            for code in codes:
                yield from ((code, call, at) for at in minutes)
        for call, code in itertools.product(CALLS, codes):
            days = random.Random(code).sample(SAMPLED, 40)
            yield from ((code, call, at) for at in at_the_edges(law, place, call, days))


# ---- the checks -------------------------------------------------------------------------------------------------------


def self_check(law: Law, places: dict[str, Place | None]) -> None:
    """Answers made wrong by hand must be told, each as what it is, and right ones must not."""
    live, recorded = AGREED, CALLS[3]
    unsafe, late, strict, shut = "ALLOWED OUTSIDE A WINDOW", "a closed row did not deny", "an open row denied", "denied inside every window"
    table = [
        # 07:59 in Lewiston, 08:59 in Boise; then 08:00 and 09:00. The evening closes in Boise first.
        ("208", live, "2026-03-09T14:59:59Z", [], unsafe), ("208", live, "2026-03-09T14:59:59Z", ["US-window"], None),
        ("208", live, "2026-03-09T15:00:00Z", [], None), ("208", live, "2026-03-09T15:00:00Z", ["US-window"], f"{strict}, {shut}"),
        ("208", live, "2026-03-10T02:59:59Z", [], None), ("208", live, "2026-03-10T03:00:00Z", [], unsafe),
        # The Sunday itself: before the change 08:00 in Chicago would have been an hour later.
        ("312", live, "2026-03-08T12:59:00Z", [], unsafe), ("312", live, "2026-03-08T13:00:00Z", [], None),
        ("312", live, "2026-11-01T13:59:00Z", [], unsafe), ("312", live, "2026-11-01T14:00:00Z", [], None),
        # Vancouver stays at -07: 21:30 on Monday evening, not 20:30; 09:00 on Tuesday, not 08:00.
        ("604", live, "2026-11-03T04:30:00Z", [], unsafe), ("604", live, "2026-11-03T16:00:00Z", ["CA-window"], f"{strict}, {shut}"),
        # Sundays in Louisiana; election day in Rhode Island; a holiday kept on the day before in Alabama: 3 July 2026.
        ("504", live, "2026-11-01T18:00:00Z", [], unsafe), ("401", live, "2026-11-03T18:00:00Z", [], unsafe),
        ("205", live, "2026-07-03T18:00:00Z", [], unsafe), ("205", live, "2026-07-02T18:00:00Z", [], None),
        # Denied, but not by the row that is closed; a recording before nine in California; a consent in Virginia lifts its hours.
        ("504", live, "2026-11-01T18:00:00Z", ["US-national-dnc"], late),
        ("213", recorded, "2026-03-09T15:59:00Z", ["US-window"], f"{late}, {strict}"),
        ("804", live, "2026-03-09T12:00:00Z", ["US-VA-window"], f"{strict}, {shut}"),
        # No rules, no people.
        ("242", live, "2026-03-09T16:00:00Z", [], f"{unsafe}, a country without rules was not refused"),
        ("900", live, "2026-03-09T16:00:00Z", [], "a number without people was not refused"),
        ("211", live, "2026-03-09T16:00:00Z", ["US-window"], "a number without people was not refused"),
    ]
    for code, call, at, denied_by, expected in table:
        comparison = Comparison(law, places)
        question = code, call, int(datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp())
        zones = list(places[code].zones) if places[code] else []
        answer = {"id": name(question), "verdict": "deny" if denied_by else "allow", "denied_by": denied_by, "rules": [],
                  "jurisdictions": [], "zones": zones, "next_allowed_time": at}
        comparison.run([question], [json.dumps(answer, separators=(",", ":")).encode() + b"\n"])
        found = ", ".join(sorted(comparison.faults)) or None
        assert found == (", ".join(sorted(expected.split(", "))) if expected else None), f"{question} {denied_by}: {found}, not {expected}"
    question = "208", live, midnight("America/Denver", CHANGES[0])
    other = b'{"id":"other","verdict":"deny","denied_by":["US-window"],"rules":[],"jurisdictions":[],"zones":[]}\n'
    for line in [b'{"line":1,"error":"no case"}\n', other]:
        comparison = Comparison(law, places)
        comparison.run([question], [line, line])
        assert comparison.faults == {"no answer": 1, "an answer without question": 1}, comparison.faults
    comparison = Comparison(law, places)
    comparison.run([question, question], [])
    assert comparison.faults == {"no answer": 1}, comparison.faults


def own_zone_data() -> str:
    """Only the package's zones, none of the system, and none older than the law's."""
    zoneinfo.reset_tzpath(to=[])
    ZoneInfo.clear_cache()
    assert tzdata.IANA_VERSION >= OLDEST_ZONES, f"tzdata {tzdata.IANA_VERSION} is older than {OLDEST_ZONES}: `tests/run` installs another"
    # What the changes of 2026 made of the west of Canada.
    at = datetime(2026, 11, 21, 18, tzinfo=timezone.utc)
    hours = [at.astimezone(ZoneInfo(f"America/{city}")).hour for city in ("Vancouver", "Edmonton", "Winnipeg")]
    assert hours == [11, 12, 13], hours
    return tzdata.IANA_VERSION


def ask(engine: Engine, law: Law, places: dict[str, Place | None], questions) -> Comparison:
    """Puts the questions, and fails unless every answer is right and every code with rules has hours at all."""
    comparison = Comparison(law, places)
    comparison.run(questions(), engine.answers(questions()))
    dialable = {code for code, place in places.items() if place and place.country in law.countries}
    print(f"       {comparison.cases} cases, {comparison.allowed} allowed; {len(places)} area codes, {len(dialable)} of them with rules")
    for line in comparison.shown:
        print(f"       {line}")
    assert not comparison.faults, ", ".join(f"{sort}: {count}" for sort, count in comparison.faults.items())
    assert comparison.codes_allowed == dialable, f"never allowed: {sorted(dialable - comparison.codes_allowed)}"
    return comparison


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every-minute", action="store_true", help="every minute of the days around both changes, by every sort of call")
    parser.add_argument("--binary", type=Path, default=BINARY)
    arguments = parser.parse_args()
    if not arguments.binary.exists():
        print(f"{arguments.binary} is not there: `cargo build` makes it")
        return 1
    own = own_zone_data()
    law = Law(ROOT / "rules")
    listed = area_codes.read(ROOT / "rules", law.territories)
    places = area_codes.joined(listed)
    engine = Engine(arguments.binary, law)
    print(f"zone data: {own} here, {engine.zone_data()} there")

    def borders():
        assert not (differ := area_codes.differences(listed)), "\n".join(differ)

    asked, span = few_questions, "at the edges of its hours"
    if arguments.every_minute:
        asked, span = all_questions, "at every minute around both changes of the clocks"
    questions = functools.partial(asked, law, places)
    checks = [
        ("an answer that is wrong is told", lambda: self_check(law, places)),
        ("the area codes on a border are those that are listed by hand", borders),
        (f"no area code is called outside the hours of any of its zones, {span}", lambda: ask(engine, law, places, questions)),
    ]
    failed = 0
    for sentence, check in checks:
        started = time.monotonic()
        try:
            check()
        except Exception:  # A failed check is reported, and the others go on.
            failed += 1
            print(f"FAILED {sentence} ({time.monotonic() - started:.1f} s)\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok     {sentence} ({time.monotonic() - started:.1f} s)", flush=True)
    print(f"test result: {'ok' if not failed else 'FAILED'}. {len(checks) - failed} passed; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
