"""The list of checks: each is a function of the stage with a sentence that says what it shows."""

CHECKS: dict[str, list] = {"starts": [], "together": [], "alone": []}


def check(act: str, sentence: str):
    """Adds a check to an act: `starts` before the server runs, `together` side by side, `alone` one after another."""

    def add(function):
        CHECKS[act].append((sentence, function))
        return function

    return add


def equal(found, expected, what: str = ""):
    assert found == expected, f"{what}{': ' if what else ''}found {found!r}, expected {expected!r}"
