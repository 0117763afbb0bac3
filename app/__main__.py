"""``python -m app``: the command line."""

import signal

# Ctrl-C while the program is still being loaded just ends it. Where it is ignored (a shell's &) it stays ignored.
if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from app.cli import main

if __name__ == "__main__":
    main()
