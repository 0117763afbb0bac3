"""The exit code of each error is that of the contract."""

from __future__ import annotations

import pytest

from app import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError, 78),
        (errors.SchemaTooNew, 78),
        (errors.AlreadyRunning, 75),
        (errors.CannotWrite, 73),
        (errors.SpoolFull, 73),
        (errors.DatabaseRefused, 69),
        (errors.DatabaseUnavailable, 69),
    ],
)
def test_the_exit_code_of_a_failed_start_is_that_of_the_contract(
    error: type[errors.CryptoMonitorError], code: int
) -> None:
    assert error.exit_code == code


def test_every_error_of_ours_ends_with_a_failure() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 6
    for kind in kinds:
        assert issubclass(kind, errors.CryptoMonitorError)
        assert kind.exit_code in (69, 70, 73, 75, 78)
        assert kind.__doc__


def test_a_limit_says_when_to_come_back_if_it_knows() -> None:
    assert errors.RateLimited("slow down", 30).retry_after == 30
    assert errors.RateLimited("slow down").retry_after is None
    assert str(errors.RateLimited("slow down", 30)) == "slow down"
