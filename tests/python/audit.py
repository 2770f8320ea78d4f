"""The audit log in foreign hands: exported by grpcio, verified by Python, and by the program that knows nothing but the file."""

import subprocess

import log
from checks import check, equal
from client import audit_pb2
from stage import Stage
from world import BINARY, wait_for


@check("alone", "the audit log: exported by a foreign client, it is whole to two verifiers, holds no number, and an edit is named")
def whole(stage: Stage):
    client = stage.auditor
    kept = client.ask(client.audit.GetCheckpoint, audit_pb2.GetCheckpointRequest())
    key = kept.verifier_key
    equal(log.read_checkpoint(kept.checkpoint, log.read_key(key))[0], kept.tree_size, "size of the signed checkpoint")
    assert kept.tree_size > 50, f"{kept.tree_size} entries after all that was done"
    # One entry more, and its place within a second.
    stage.place(stage.number("us"), "busy")

    def latest():
        return client.ask(client.audit.GetCheckpoint, audit_pb2.GetCheckpointRequest()).tree_size

    wait_for("the place of an entry", lambda: latest() > kept.tree_size, 5)
    answers = client.audit.ExportEntries(audit_pb2.ExportEntriesRequest(), metadata=client.metadata, timeout=30)
    lines = [line for answer in answers for line in answer.lines]
    file, kept_file = stage.folder.path / "log.jsonl", stage.folder.path / "kept.checkpoint"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    kept_file.write_text(kept.checkpoint, encoding="utf-8")
    told = log.verify(file, key, [kept.checkpoint])
    assert told["whole"] and told["entries"] > kept.tree_size, told
    text = file.read_text(encoding="utf-8")
    for number in stage.numbers:
        assert number.removeprefix("+") not in text, "a number stands in the log"

    def verify():
        words = [BINARY, "audit", "verify", file, "--key", key, "--checkpoint", kept_file]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    code, said = verify()
    assert code == 0 and "1 checkpoint kept elsewhere agrees" in said, said
    edited = kept.tree_size // 2
    at = next(at for at, line in enumerate(lines) if line.startswith(f'{{"index":{edited},'))
    lines[at] = lines[at].replace('"actor":"', '"actor":"x')
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    equal(log.verify(file, key, [kept.checkpoint])["entries"], [edited, edited + 1], "the entry that Python names")
    code, said = verify()
    assert code == 1 and f"entry {edited} is not the one that was logged" in said, said
