"""What is installed is pinned, complete, and not known to be bad; also where no advisory service can be asked."""

from __future__ import annotations

import ast
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
FILES = sorted(REPOSITORY.glob("requirements*.txt"))

DENIED = {
    "ccxt-mexc-futures": "malware that poses as an extension of ccxt",
    "ctx": "taken over in 2022, stole environment variables",
    "ecdsa": "CVE-2024-23342, which will not be mended",
    "jeilyfish": "malware that poses as jellyfish",
    "py": "PYSEC-2022-42969: slow on Subversion data made to be so, and nobody mends it",
    "psycopg2": "the same package as psycopg2-binary, to be compiled: never both",
    "pycrypto": "abandoned since 2013 with CVE-2018-6594; pycryptodome stands in its place",
    "python3-dateutil": "malware that poses as python-dateutil",
    "request": "poses as requests",
    "retry2": "installs over retry, under the same name: never both",
}

FIRST_GOOD = {
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "fastapi": ("0.109.1", "CVE-2024-24762"),
    "filelock": ("3.20.1", "CVE-2025-68146"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "idna": ("3.7", "CVE-2024-3651"),
    "pip": ("25.3", "CVE-2025-8869"),
    "pydantic": ("2.4.0", "CVE-2024-3772"),
    "pygments": ("2.15.1", "CVE-2022-40896"),
    "pyyaml": ("5.4", "CVE-2020-14343"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "urllib3": ("2.6.0", "CVE-2025-66418"),
    "uvicorn": ("0.11.7", "CVE-2020-7695"),
}

# ccxt runs without them; the reasons stand in requirements-exchanges.txt.
NOT_NEEDED = {"ccxt": {"aiohttp-fast-zlib", "coincurve", "orjson", "uvloop", "winloop", "zlib-ng"}}

# `retry` asks for `py` and never imports it, nor do we: nothing ever reaches the slow lines.
ACCEPTED = {"py": "retry"}


def complaints(text: str) -> list[str]:
    """What is wrong with the lines of a requirements file."""
    found = []
    for written in text.splitlines():
        line = written.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("-"):
            found.append(f"{line}: an option; the files hold packages only")
            continue
        requirement = Requirement(line)
        name, pins = canonicalize_name(requirement.name), list(requirement.specifier)
        if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith("*"):
            found.append(f"{line}: is not pinned to one version")
        elif name in FIRST_GOOD and Version(pins[0].version) < Version(FIRST_GOOD[name][0]):
            found.append(f"{line}: {FIRST_GOOD[name][1]}, mended in {FIRST_GOOD[name][0]}")
        if name in DENIED and name not in ACCEPTED:
            found.append(f"{line}: {DENIED[name]}")
    return found


def pinned() -> dict[str, Requirement]:
    lines = [line.strip() for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_dependency_is_pinned_and_none_is_known_to_be_bad(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "requests",
        "requests>=2.32.4",
        "requests==2.*",
        "requests==2.32.4,!=2.33",
        "requests==2.31.0",
        "Retry2==0.9.5",
        "requests @ https://example.org/requests.zip",
        "--index-url https://example.org/simple",
        "-e .",
    ],
)
def test_a_line_that_is_loose_old_or_denied_is_found(line: str) -> None:
    assert len(complaints(f"# good company\ncertifi==2026.1.1\n{line}\n")) == 1


def test_what_the_pinned_packages_bring_along_is_pinned_too() -> None:
    known = pinned()
    missing = []
    for name in known:
        for text in _requires(name):
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            if canonicalize_name(wanted.name) not in {*known, *NOT_NEEDED.get(name, ())}:
                missing.append(f"{name} brings {wanted.name}")
    assert missing == []


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # of another system, or of another Python
        return []


def test_the_accepted_exception_is_there_for_its_reason_alone() -> None:
    known = set(pinned())
    for name, because_of in ACCEPTED.items():
        assert name in known
        needing = {other for other in known for text in _requires(other) if Requirement(text).name == name}
        assert needing == {because_of}
        assert [file.name for file in REPOSITORY.glob("app/**/*.py") if name in _imports(file)] == []


def _imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
