"""Licences and sources of every package in the lock file, against the lists in deny.toml.

Stands in for cargo-deny where that is not installed: compiling it takes minutes. It does not look at advisories.
Usage: licences.py, from the root of the repository. Ends with 1 and one line a fault when something may not come in.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
MIT_SENTENCE = "Permission is hereby granted, free of charge, to any person obtaining a copy"


class Expression:
    """An SPDX licence expression; `satisfied` tells whether allowed licences alone can meet it."""

    def __init__(self, text: str, allowed: set[str]):
        # The old way of writing "or" was a slash.
        self.words = re.findall(r"\(|\)|[^\s()]+", text.replace("/", " OR "))
        self.allowed = allowed

    def satisfied(self) -> bool:
        answer = self._any()
        if self.words:
            raise ValueError(f"cannot read `{' '.join(self.words)}`")
        return answer

    def _any(self) -> bool:
        answer = self._all()
        while self._take("OR"):
            answer = self._all() or answer
        return answer

    def _all(self) -> bool:
        answer = self._one()
        while self._take("AND"):
            answer = self._one() and answer
        return answer

    def _one(self) -> bool:
        if self._take("("):
            answer = self._any()
            if not self._take(")"):
                raise ValueError("a closing parenthesis is missing")
            return answer
        if not self.words:
            raise ValueError("a licence is missing")
        licence = self.words.pop(0)
        if self._take("WITH"):
            licence = f"{licence} WITH {self.words.pop(0)}"
        return licence in self.allowed

    def _take(self, word: str) -> bool:
        if self.words[:1] == [word]:
            self.words.pop(0)
            return True
        return False


def fault(package: dict, rules: dict) -> str | None:
    """What is wrong with one package of `cargo metadata`, if anything."""
    if package["source"] not in (REGISTRY, None):
        return f"comes from {package['source']}; only the Rust registry is allowed"
    for banned in rules["bans"]["deny"]:
        if banned["crate"] == package["name"]:
            return f"is banned: {banned['reason']}"
    expression = package["license"]
    if not expression:
        clarified = {row["crate"]: row["expression"] for row in rules["licenses"].get("clarify", [])}
        expression = clarified.get(package["name"])
        if expression is None:
            return "names no licence, and deny.toml does not clarify it"
        file = Path(package["manifest_path"]).parent / (package["license_file"] or "LICENSE")
        text = " ".join(file.read_text().split()) if file.is_file() else ""
        if expression != "MIT" or MIT_SENTENCE not in text:
            return f"deny.toml says `{expression}`, its licence file does not"
    try:
        if not Expression(expression, set(rules["licenses"]["allow"])).satisfied():
            return f"is under `{expression}`, which deny.toml does not allow"
    except (ValueError, IndexError) as problem:
        return f"has the unreadable licence expression `{expression}`: {problem}"
    return None


def self_check() -> None:
    """The reader of expressions must be able to say no."""
    allowed = {"MIT", "ISC", "Apache-2.0 WITH LLVM-exception"}
    cases = {
        "MIT": True, "GPL-3.0": False, "GPL-3.0/MIT": True, "MIT AND GPL-3.0": False, "(GPL-3.0 OR ISC) AND MIT": True,
        "GPL-3.0 OR (ISC AND GPL-2.0)": False, "Apache-2.0 WITH LLVM-exception": True, "Apache-2.0": False,
    }
    for text, expected in cases.items():
        assert Expression(text, allowed).satisfied() == expected, text


def main() -> int:
    self_check()
    rules = tomllib.loads(Path("deny.toml").read_text())
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    packages = json.loads(metadata.stdout)["packages"]
    found = [(package, fault(package, rules)) for package in packages]
    faults = [f"{package['name']} {package['version']} {what}" for package, what in found if what]
    for line in faults:
        print(line)
    print(f"{len(packages) - len(faults)} packages in order, {len(faults)} not; advisories were not looked at")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
