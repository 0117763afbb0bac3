"""Certificates for tests, good and bad, made by the machine's own ``openssl``."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
WEAK = ("-newkey", "rsa:1024", "-nodes")

_CONFIG = """
[ca]
default_ca = it
[it]
database = {0}/{1}.index
rand_serial = yes
new_certs_dir = {0}
certificate = {0}/{1}.pem
private_key = {0}/{1}.key
policy = any
unique_subject = no
[any]
commonName = supplied
"""


def can_be_made() -> bool:
    """Whether there is an ``openssl`` here."""
    return shutil.which("openssl") is not None


class Authority:
    """Signs whatever it is asked to. Its own certificate is ``pem``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.pem = folder / f"{name}.pem"
        (folder / f"{name}.index").touch()
        self._config = folder / f"{name}.cnf"
        self._config.write_text(_CONFIG.format(folder, name))
        own = ("-keyout", folder / f"{name}.key", "-out", self.pem, "-days", 2, "-subj", f"/CN={name}")
        _openssl("req", "-x509", *EC, *own, "-addext", "keyUsage=keyCertSign")

    def sign(
        self,
        name: str,
        *,
        key: tuple[str, ...] = EC,
        names: str = "IP:127.0.0.1",
        digest: str = "sha256",
        days: tuple[int, int] = (-1, 1),
    ) -> Path:
        """A certificate for these names, from day to day as seen from today: one file with its key."""
        path, request = self._folder / f"{name}.server.pem", self._folder / f"{name}.csr"
        _openssl("req", *key, "-keyout", path, "-out", request, "-subj", f"/CN={name}")
        extensions = self._folder / f"{name}.names"
        extensions.write_text(f"subjectAltName={names}\n")
        dates = [f"{datetime.now(UTC) + timedelta(days=day):%Y%m%d%H%M%SZ}" for day in days]
        signed = self._folder / f"{name}.crt"
        _openssl(
            "ca", "-batch", "-notext", "-config", self._config, "-in", request, "-out", signed, "-md", digest,
            "-startdate", dates[0], "-enddate", dates[1], "-extfile", extensions,
        )  # fmt: skip
        path.write_bytes(path.read_bytes() + signed.read_bytes())
        return path


def self_signed(folder: Path) -> Path:
    """A certificate that nobody else has signed."""
    path, signed = folder / "alone.pem", folder / "alone.crt"
    alone = ("-keyout", path, "-out", signed, "-days", 2, "-subj", "/CN=alone")
    _openssl("req", "-x509", *EC, *alone, "-addext", "subjectAltName=IP:127.0.0.1")
    path.write_bytes(path.read_bytes() + signed.read_bytes())
    return path


def serves(certificate: Path, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A server's side of TLS with this certificate, however weak; of no newer version than that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(certificate)
    if newest is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is old is the point
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = newest
    return context


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
