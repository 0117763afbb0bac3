"""``python -m app.health``: exit 0 while the daemon runs and its data is fresh, else 1, and a sentence that says why.

The container's health check. It looks at ``DATA_DIR`` in the environment, not at ``.env``, and at nothing else.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from app.freshness import look


def main() -> int:
    """Print the sentence; the exit code."""
    _, _, reasons = look(os.environ.get("DATA_DIR") or "data", datetime.now(UTC))
    if reasons:
        sys.stdout.write("Not healthy: " + "; ".join(reasons) + ".\n")
        return 1
    sys.stdout.write("Healthy: the daemon runs, and new ticks arrive or it stands by.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
