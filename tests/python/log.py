"""A second verifier of exports of the audit log, written from RFC 9162, RFC 8032 and docs/AUDIT.md, with nothing but Python's own library.

    python3 tests/python/log.py FILE... [--key NAME+HASH+KEY] [--checkpoint FILE]

Prints one JSON object a file: whether it is whole, or the first thing that is wrong with it and the entries that it names. Ends with
1 if a file is not whole. `tests/suite/log` holds it against `dialgate audit verify` on files that were changed in every way.
"""

import base64
import hashlib
import json
import re
import sys

# --- Ed25519 (RFC 8032 section 5.1), verification alone, after the RFC's own sketch in section 6.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decompress(BASE_Y.to_bytes(32, "little"))


def is_signed(key, text, signature):
    a, r = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % L
    return same(times(s, BASE), add(r, times(h, a)))


# --- Signed notes (c2sp.org/signed-note) and checkpoints (c2sp.org/tlog-checkpoint).


class Wrong(Exception):
    """Something is wrong: what, and with which entries."""

    def __init__(self, found, entries=None):
        super().__init__(found)
        self.found, self.entries = found, entries


def exact64(text):
    """The bytes of a base64 text that has no other spelling."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError(text)
    return data


def read_key(text):
    name, told, coded = text.split("+", 2)
    data = exact64(coded)
    if data[0] != 1 or len(data) != 33 or hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8] != told:
        raise ValueError(text)
    return name, data[1:], bytes.fromhex(told)


def read_checkpoint(note, key):
    """Size and root that this key signed; ValueError otherwise."""
    name, public, told = key
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f]", note):
        raise ValueError("control characters")
    text, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    if not signatures.endswith("\n"):
        raise ValueError("no signature")
    found = False
    for line in signatures[:-1].split("\n"):
        dash, signer, coded = line.split(" ", 2)
        data = exact64(coded)
        if dash != "\u2014" or len(data) < 4:
            raise ValueError(line)
        if signer == name and data[:4] == told:
            found = True
            if not is_signed(public, text.encode(), data[4:]):
                raise ValueError("forged")
    origin, size, root = text.split("\n")[:3]
    if not found or origin != name or not re.fullmatch("0|[1-9][0-9]*", size) or len(exact64(root)) != 32:
        raise ValueError("not of this key")
    return int(size), exact64(root)


# --- The tree (RFC 9162 section 2.1.2, the algorithm for a tree head of given entries).


def leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    def __init__(self, size=0, stack=()):
        self.size, self.stack = size, list(stack)

    def push(self, hashed):
        self.stack.append(hashed)
        index = self.size
        while index & 1:
            right, left = self.stack.pop(), self.stack.pop()
            self.stack.append(node(left, right))
            index >>= 1
        self.size += 1

    def root(self):
        if not self.stack:
            return hashlib.sha256().digest()
        root = self.stack[-1]
        for left in reversed(self.stack[:-1]):
            root = node(left, root)
        return root


def whole(hashes):
    while len(hashes) > 1:
        hashes = [node(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


# --- The file (docs/AUDIT.md).

ENTRY = re.compile(rb'\{"index":(0|[1-9][0-9]*),"leaf_hash":"([0-9a-f]{64})","entry":(.*)\}', re.DOTALL)


def spelled(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def tile_path(level, index, width):
    """c2sp.org/tlog-tiles, "Merkle Tree"."""
    parts = re.findall("...", f"{index:0{-(-len(str(index)) // 3) * 3}d}")
    path = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")


class Reader:
    def __init__(self, key, kept):
        self.key = read_key(key) if key else None
        self.kept_notes, self.kept = kept, []
        self.next = self.agreed = self.checkpoints = self.entries = 0
        self.last = None
        self.leaves, self.tiles = [], []

    def header(self, line):
        try:
            header = json.loads(line)
            if not isinstance(header, dict) or spelled(header) != line or list(header) != [
                "dialgate_audit_export",
                "origin",
                "key",
                "first",
                "size",
                "checkpoints",
                "peaks",
            ]:
                raise ValueError("fields")
            peaks = [bytes.fromhex(peak) for peak in header["peaks"]]
            first, size = header["first"], header["size"]
            if any(type(number) is not int or not 0 <= number < 2**64 for number in (first, size)):
                raise ValueError("numbers")
            if header["dialgate_audit_export"] != 1 or any(peak.hex() not in header["peaks"] for peak in peaks):
                raise ValueError("format")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Wrong("unreadable") from error
        try:
            named = read_key(header["key"])
        except (ValueError, IndexError) as error:
            raise Wrong("not_signed") from error
        if self.key not in (None, named) or named[0] != header["origin"]:
            raise Wrong("not_signed")
        self.key = named
        if len(peaks) != first.bit_count() or size < first or any(len(peak) != 32 for peak in peaks):
            raise Wrong("unreadable")
        self.told = header
        self.tree, self.beside = Tree(first, peaks), Tree(first, peaks)
        self.next = self.agreed = first
        self.kept = sorted(read_checkpoint(note, self.key) for note in self.kept_notes)
        if self.kept and self.kept[0][0] < first:
            raise Wrong("not_comparable")
        self.compare()

    def compare(self):
        while self.kept and self.kept[0][0] == self.next:
            size, root = self.kept.pop(0)
            if root not in (self.tree.root(), self.beside.root()):
                raise Wrong("forked", [0, size])

    def entry(self, index, hashed, data):
        self.entries += 1
        if self.tiles:
            raise Wrong("out_of_place", [index, index + 1])
        if leaf(data) != hashed:
            raise Wrong("changed", [index, index + 1])
        if index < self.next:
            raise Wrong("out_of_place", [index, index + 1])
        if index > self.next:
            raise Wrong("missing", [self.next, index])
        self.next += 1
        self.tree.push(leaf(data))
        self.beside.push(hashed)
        self.leaves.append(hashed)
        self.compare()

    def checkpoint(self, note):
        try:
            size, root = read_checkpoint(note, self.key)
        except ValueError as error:
            raise Wrong("not_signed", [self.agreed, self.next]) from error
        if size != self.next or self.last == size or self.tiles:
            raise Wrong("out_of_place")
        self.last = size
        if self.tree.root() != root:
            raise Wrong("root_differs", [self.agreed, size])
        self.agreed = size
        self.checkpoints += 1

    def tile(self, told):
        level, index, hashes = told["level"], told["index"], told["hashes"]
        width = len(hashes) // 64
        if told["tile"] != tile_path(level, index, width) or not re.fullmatch("([0-9a-f]{64})*", hashes):
            raise Wrong("unreadable")
        wanted = self.wanted_tiles()
        place = wanted[len(self.tiles)] if len(self.tiles) < len(wanted) else None
        self.tiles.append((level, index))
        if self.next < self.told["size"] or place is None or (level, index, width) != (place[0], place[1], len(place[2])):
            raise Wrong("out_of_place")
        if hashes != b"".join(place[2]).hex():
            raise Wrong("tile_differs")

    def wanted_tiles(self):
        tiles, level, row = [], 0, self.leaves
        if self.told["first"]:
            return tiles
        while len(row) >= 256:
            level += 1
            row = [whole(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
            tiles += [(level, at // 256, row[at : at + 256]) for at in range(0, len(row), 256)]
        return tiles

    def line(self, line, is_first):
        if is_first:
            return self.header(line)
        found = ENTRY.fullmatch(line)
        try:
            line.decode()
            if found:
                return self.entry(int(found[1]), bytes.fromhex(found[2].decode()), found[3])
            value = json.loads(line)
            if spelled(value) == line and list(value) == ["checkpoint"]:
                return self.checkpoint(value["checkpoint"])
            if spelled(value) == line and list(value) == ["tile", "level", "index", "hashes"]:
                return self.tile(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise Wrong("unreadable") from error
        raise Wrong("unreadable")

    def end(self):
        size = self.told["size"]
        if self.next < size:
            raise Wrong("truncated", [self.next, size])
        if self.next > size:
            raise Wrong("out_of_place", [size, self.next])
        if self.last != self.next:
            raise Wrong("truncated", [self.last if self.last is not None else self.told["first"], self.next])
        if self.checkpoints != self.told["checkpoints"]:
            raise Wrong("missing")
        if len(self.tiles) < len(self.wanted_tiles()):
            raise Wrong("truncated")
        if self.kept:
            raise Wrong("truncated", [self.next, self.kept[0][0]])


def notes(text):
    """One note or more, with empty lines between, as a witness file has them: a note ends with its last signature."""
    return re.findall("[^\n\u2014][^\u2014]*(?:\u2014[^\n]*\n)+", text)


def verify(path, key=None, kept=()):
    """What is wrong with a file first, or that nothing is."""
    reader = Reader(key, kept)
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    is_ended = lines.pop() == b"" if lines else True
    try:
        if not lines:
            raise Wrong("truncated" if is_ended else "unreadable")
        for number, line in enumerate(lines if is_ended else lines + [b"\x00"]):
            reader.line(line, number == 0)
        reader.end()
    except Wrong as wrong:
        return {"file": str(path), "whole": False, "found": wrong.found, "entries": wrong.entries}
    return {"file": str(path), "whole": True, "entries": reader.entries, "root": reader.tree.root().hex()}


def main(words):
    key, kept, files = None, [], []
    while words:
        word = words.pop(0)
        if word == "--key":
            key = words.pop(0)
        elif word == "--checkpoint":
            name = words.pop(0)
            with open(name, encoding="utf-8") as file:
                found = notes(file.read())
            if not found:
                sys.exit(f"{name} holds no checkpoint")
            kept += found
        else:
            files.append(word)
    told = [verify(path, key, kept) for path in files]
    for each in told:
        print(json.dumps(each))
    return 0 if all(each["whole"] for each in told) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
