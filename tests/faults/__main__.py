"""``python -m tests.faults``: everything that may befall a running system, and whether the guarantees hold.

FAULTS=long takes the larger counts, FAULTS=short the smaller ones; FAULTS_SEED repeats a run. Names, or parts of them,
select faults.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.acceptance.daemon import REPOSITORY
from tests.faults import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="only the faults in whose name one of these words stands")
    parser.add_argument("--list", action="store_true", help="say what there is, and do nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table between the marks of this file")
    parser.add_argument("--code", type=Path, default=REPOSITORY, help="the folder whose app is tested")
    parser.add_argument("--beside", type=int, metavar="N", help="scenes at once (2; 4 in the short form)")
    arguments = parser.parse_args()
    scale = os.environ.get("FAULTS") or "default"
    if scale not in runner.SCALES:
        parser.error(f"FAULTS={scale}: should be short, default or long")
    words = [name.casefold() for name in arguments.names]
    chosen = [f for f in runner.ALL if not words or any(word in f.name.casefold() for word in words)]
    if arguments.list or not chosen:
        print("\n".join(f"{fault.name}: {fault.times}" for fault in runner.ALL))
        return 0 if chosen else 64
    seed = int(os.environ.get("FAULTS_SEED") or runner.new_seed())
    print(f"FAULTS={scale} FAULTS_SEED={seed}", flush=True)
    began = time.monotonic()
    results = runner.run(
        chosen,
        scale,
        seed,
        code=arguments.code.absolute(),
        beside=arguments.beside,
        say=lambda line: print(line, flush=True),
    )
    report = runner.report(results, scale, seed, time.monotonic() - began)
    print(f"\n{report}")
    if arguments.markdown:
        runner.write_into(arguments.markdown, report)
    return 0 if all(result.held for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
