"""Ask the public advisories about every pinned dependency. Where their service does not answer, that is said.

`pip-audit` alone passes when it could ask about nothing at all, and `--strict` alone fails without a network. So it
runs strictly; only if it fails, a second run tells the two apart. Exit code 0: nothing found, or nobody answers.
"""
# ruff: noqa: T201  (it talks to whoever runs `make check`)

from __future__ import annotations

import json
import subprocess
import sys

import pip_audit

FILES = ("requirements.txt", "requirements-embedded.txt", "requirements-exchanges.txt", "requirements-dev.txt")

# PYSEC-2022-42969: `py`, which `retry` drags in and never imports, is slow on Subversion data made to be so.
ACCEPTED = ("PYSEC-2022-42969",)


def main() -> int:
    strict = _pip_audit("--strict")
    if strict.returncode == 0:
        print("pip-audit: no known vulnerability in", ", ".join(FILES))
        return 0
    if strict.returncode == 1 and not _service_answers():
        print("pip-audit: skipped: the advisory service does not answer")
        return 0
    print(strict.stdout, strict.stderr, sep="", end="", file=sys.stderr)
    return strict.returncode


def _service_answers() -> bool:
    """Whether it knew at least one of the packages."""
    try:
        report = json.loads(_pip_audit("--format=json").stdout)
    except json.JSONDecodeError:  # it could not even begin
        return False
    return any("skip_reason" not in package for package in report["dependencies"])


def _pip_audit(*options: str) -> subprocess.CompletedProcess[str]:
    files = [option for file in FILES for option in ("-r", file)]
    accepted = [option for advisory in ACCEPTED for option in ("--ignore-vuln", advisory)]
    # All is pinned, so there is nothing to resolve, and nothing to install for it.
    fixed = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--timeout=10")
    command = [sys.executable, "-m", pip_audit.__name__, *fixed, *files, *accepted, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own words)


if __name__ == "__main__":
    sys.exit(main())
