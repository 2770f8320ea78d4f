"""The list of checks: each is a function of the stage with a sentence that says what it shows."""

import difflib

CHECKS: dict[str, list] = {"starts": [], "together": [], "alone": []}


def check(act: str, sentence: str):
    """Adds a check to an act: `starts` before the server runs, `together` side by side, `alone` one after another."""

    def add(function):
        CHECKS[act].append((sentence, function))
        return function

    return add


def equal(found, expected, what: str = ""):
    """Fails unless both are equal; of two messages it shows only the lines that differ."""
    if found == expected:
        return
    lines = [str(expected).splitlines(), str(found).splitlines()]
    if len(lines[0]) > 3:
        raise AssertionError(f"{what}: -expected +found\n" + "\n".join(difflib.unified_diff(*lines, lineterm="", n=1)))
    raise AssertionError(f"{what}{': ' if what else ''}found {found!r}, expected {expected!r}")
