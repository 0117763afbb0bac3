"""Every error of ours has one base, and its class says what is to be done: stop, retry, or wait for a person."""

from __future__ import annotations

from typing import ClassVar


class CryptoMonitorError(Exception):
    """Base of all foreseen errors. Its text is a sentence for the user: what, where, why, what to do."""

    exit_code: ClassVar[int] = 70  # EX_SOFTWARE: nobody foresaw that it would end the process


# Stop: going on makes no sense until somebody changes something.


class ConfigurationError(CryptoMonitorError):
    """A setting, rule or watch list entry that cannot be used. Names the key, the value and what is allowed."""

    exit_code = 78


class SchemaTooNew(CryptoMonitorError):
    """The database was migrated by a newer version of the program than this one."""

    exit_code = 78


class AlreadyRunning(CryptoMonitorError):
    """Another process owns the same ``DATA_DIR`` (or the port that is asked for)."""

    exit_code = 75


class CannotWrite(CryptoMonitorError):
    """A folder or file of ours cannot be created or written."""

    exit_code = 73


class SpoolFull(CryptoMonitorError):
    """The spool holds as much as it may: nothing more is accepted, and nothing is dropped."""

    exit_code = 73


class DatabaseRefused(CryptoMonitorError):
    """The server answers and says no: wrong password, no such database or role, server too old."""

    exit_code = 69


# Retry: the same call may succeed later.


class DatabaseUnavailable(CryptoMonitorError):
    """No server answers, or the connection broke: the transaction did not commit, or nobody knows."""

    exit_code = 69


class Stopping(DatabaseUnavailable):
    """The database was waited for until we were told to stop."""


class Deposed(CryptoMonitorError):
    """Another daemon leads now: what was to be written under our epoch of the lease was not."""

    exit_code = 75


class ProviderUnavailable(CryptoMonitorError):
    """No reply, a 5xx, or a body that cannot be read. The next call may be better."""

    exit_code = 69  # of ``doctor``: it ends nothing else
    status: int | None = None
    """Of HTTP, where the provider has answered, and not with 200."""


class RateLimited(ProviderUnavailable):
    """The provider asks for fewer calls.

    ``retry_after`` is the number of seconds it asks us to wait, None where it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChannelUnavailable(CryptoMonitorError):
    """A channel's receiver did not say that it took a message; nobody knows whether it did.

    ``retry_after`` is the number of seconds it asks us to wait, None where it does not say. Neither this text nor that
    of any other error of a channel shows its address.
    """

    exit_code = 69

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# Wait for a person: the same call will fail until a key, a plan or an address changes.


class ProviderRefused(CryptoMonitorError):
    """The provider answers and says no to us: key, plan, address. The text says what to change."""

    exit_code = 78  # of ``doctor``: it ends nothing else


class ChannelRefused(CryptoMonitorError):
    """A channel's receiver wants nothing from us, or is one that nothing may be sent to: what to change."""

    exit_code = 78


# Skip: one value or row is bad, the rest goes on.


class DataRefused(CryptoMonitorError):
    """The database will not take this very row, whatever is tried."""


class OutOfReach(CryptoMonitorError):
    """A provider has no history there: too old for the plan, not kept, no such pair. The text says why."""


class MessageRefused(CryptoMonitorError):
    """A channel's receiver will not take this very message; it may take others."""
