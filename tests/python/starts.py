"""What the server refuses to start with, and says why."""

import os
import socket
import subprocess

from checks import check, equal
from stage import Stage
from world import run_binary


def refuses(stage: Stage, config, *words: str):
    """`serve` ends by itself with 1 and an error that has these words."""
    try:
        done = run_binary(stage.clock, "serve", "--config", str(config), seconds=15)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it started; expected an error with {words}") from None
    said = done.stderr + done.stdout
    assert done.returncode in (1, 2), f"it ended with {done.returncode}: {said}"
    assert "panicked" not in said, said
    stage.said.append(said)
    missing = [word for word in words if word.lower() not in said.lower()]
    assert not missing, f"the error does not say {missing}: {said}"


@check("starts", "refuses to start: the key file is missing and the database is not empty")
def missing_key_file(stage: Stage):
    config = stage.write_config("first.toml", stage.url, "first.key")
    stage.create_key(config, "first", "agent")
    key = stage.folder.path / "first.key"
    equal(oct(key.stat().st_mode & 0o777), "0o600", "mode of the key file")
    key.rename(stage.folder.path / "hidden.key")
    refuses(stage, config, "first.key")
    assert not key.exists(), "a new key was made for an old database"
    # Another key than the one that the database was written with is no better than none.
    key.write_text("00" * 32 + "\n")
    key.chmod(0o600)
    refuses(stage, config, "first.key")
    # The story goes on with the database and its own key.
    os.replace(stage.folder.path / "hidden.key", stage.folder.path / "number.key")


@check("starts", "refuses to start: others may read the key file")
def loose_key_file(stage: Stage):
    config = stage.write_config("loose.toml", stage.url, "loose.key")
    key = stage.folder.path / "loose.key"
    key.write_bytes((stage.folder.path / "number.key").read_bytes())
    for mode in (0o644, 0o640, 0o604):
        key.chmod(mode)
        refuses(stage, config, "loose.key", "600")


@check("starts", "refuses to start: a rule file cannot be read, or says what no rule may say")
def unreadable_rules(stage: Stage):
    rules = stage.folder.path / "rules"
    config = stage.write_config("rules.toml", stage.url, "number.key", rules=f'folder = "{rules}"')
    refuses(stage, config, str(rules))
    subprocess.run(["cp", "-r", "rules", str(rules)], check=True)
    (rules / "us.toml").write_text("[[rule]]\nid = \n")
    refuses(stage, config, "us.toml", "2")
    (rules / "us.toml").write_bytes(b"\xff\xfe not text")
    refuses(stage, config, "us.toml")


@check("starts", "refuses to start: a key of the configuration is unknown, a value is wrong, a trunk is missing")
def wrong_configuration(stage: Stage):
    refuses(stage, stage.write_config("unknown.toml", stage.url, "number.key", grpc='listen = "127.0.0.1:0"\nlisten_adress = "x"'), "listen_adress")
    refuses(stage, stage.write_config("section.toml", stage.url, "number.key", telephone="number = 1"), "telephone")
    refuses(stage, stage.write_config("address.toml", stage.url, "number.key", grpc='listen = "somewhere"'), "listen")
    config = stage.write_config("trunk.toml", stage.url, "number.key")
    config.write_text(config.read_text() + '\n[campaign.lost]\nactive = true\nseller = "acme"\ncall_kinds = ["live_manual"]\ntrunk = "nowhere"\n'
                      'destinations = ["US"]\ncaller_ids = [{ number = "+14045550199", owned = true, callable = true }]\n')
    refuses(stage, config, "lost", "nowhere")
    config = stage.write_config("ring.toml", stage.url, "number.key")
    config.write_text(config.read_text() + '\n[trunk.hasty]\ntarget = "127.0.0.1:5099"\nring_timeout_seconds = 14\n')
    refuses(stage, config, "hasty", "ring_timeout_seconds", "64.1200")
    refuses(stage, stage.folder.path / "absent.toml", "absent.toml")
    done = run_binary(stage.clock, "config", "check", str(config))
    assert done.returncode == 1 and "hasty" in done.stdout + done.stderr, done


@check("starts", "refuses to start: other machines could listen in on an address without TLS")
def open_address(stage: Stage):
    refuses(stage, stage.write_config("open.toml", stage.url, "number.key", grpc='listen = "0.0.0.0:0"'), "tls")
    refuses(stage, stage.write_config("console.toml", stage.url, "number.key", console='listen = "0.0.0.0:0"'), "TLS", "127.0.0.1")


@check("starts", "refuses to start: the address is taken")
def taken_address(stage: Stage):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses(stage, stage.write_config("taken.toml", stage.url, "number.key", grpc=f'listen = "127.0.0.1:{port}"'), str(port))


@check("starts", "refuses to start: the database is not there")
def no_database(stage: Stage):
    url = f"postgres://dialgate@localhost/dialgate?host={str(stage.folder.path).replace('/', '%2F')}" if stage.database \
        else f"sqlite://{stage.folder.path}/no/such/folder/x.db"
    refuses(stage, stage.write_config("gone.toml", url, "number.key"))


@check("starts", "what it says where no terminal is has neither colours nor garbled characters")
def plain_text(stage: Stage):
    faults = [said for said in stage.said if "\x1b" in said or "\ufffd" in said]
    assert stage.said and not faults, f"{len(faults)} of {len(stage.said)}, such as {faults[0]!r}"
