"""``python -m app``: the command line."""

import os
import signal
import sys

# Ctrl-C while the program is still being loaded just ends it. Where it is ignored (a shell's &) it stays ignored.
if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
# What runs until it is told to stop, and is told so before it has begun, has nothing to end: that is no failure.
if sys.argv[1:2] in (["run"], ["serve"], ["simulate"], ["demo"]):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from app.cli import main

if __name__ == "__main__":
    main()
