"""The whole story against the built binary, on one database: `story.py --engine sqlite|postgres [--only WORDS]`."""

import argparse
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import audit  # noqa: F401  Each of these adds its checks to the list.
import browser_calls  # noqa: F401
import calls  # noqa: F401
import denials  # noqa: F401
import forms  # noqa: F401
import signatures  # noqa: F401
import starts  # noqa: F401
import trouble  # noqa: F401
import webhooks  # noqa: F401
import wrong_input  # noqa: F401
from checks import CHECKS
from stage import Stage
from webhooks import Receiver
from world import BINARY


def run(sentence: str, function, stage: Stage) -> bool:
    started = time.monotonic()
    try:
        function(stage)
    except Exception:  # A failed check is reported, and the others go on.
        print(f"FAILED {sentence} ({time.monotonic() - started:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok     {sentence} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["sqlite", "postgres"], required=True)
    parser.add_argument("--only", default="", help="checks whose sentence has these words")
    arguments = parser.parse_args()
    if not BINARY.exists():
        print(f"{BINARY} is not there: `cargo build` makes it")
        return 1
    chosen = {act: [(sentence, function) for sentence, function in checks if arguments.only in sentence] for act, checks in CHECKS.items()}
    # Asked to stop, the story still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = []
    stage = Stage(arguments.engine, Receiver)
    try:
        results += [run(*one, stage) for one in chosen["starts"]]
        stage.raise_curtain()
        with ThreadPoolExecutor(12) as pool:
            results += pool.map(lambda one: run(*one, stage), chosen["together"])
        results += [run(*one, stage) for one in chosen["alone"]]
    except Exception:
        results.append(False)
        print(f"FAILED the stage could not be set\n{traceback.format_exc()}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stage.clean_up()
    if not all(results) and stage.server:
        print(f"--- what the log warns of:\n{stage.server.warnings()}")
    print(f"test result: {'ok' if all(results) else 'FAILED'}. {sum(results)} passed; {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
