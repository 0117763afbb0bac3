"""As whom PostgreSQL's programs run. Usually as ourselves; but they refuse root, and need an account with a name."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import CannotWrite

# Accounts that are there for servers or for nothing, in the order of preference; the first that exists is borrowed.
_ACCOUNTS = ("postgres", "daemon", "nobody")

# Tried in this order: the fewest rights that still reach a folder below a private one, such as /root. A container
# usually withholds the first capability and grants the second. Without the secure bit, the kernel would leave them
# out of access(), by which PostgreSQL finds its own programs.
_RIGHTS = (
    ("--inh-caps=-all",),
    ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--securebits=+no_setuid_fixup"),
    ("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"),
)

_CAN_REACH = 'cd "$1" && "$2" --version'


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to run as. ``prefix`` is the command that becomes that user and then runs what follows it.

    ``uid`` and ``gid`` own the server's files, as we see them. ``client`` is the account that the server sees when we
    connect to it.
    """

    prefix: tuple[str, ...]
    uid: int
    gid: int
    client: str

    def own(self, folder: Path) -> None:
        """Give a folder of ours, with all in it, to this user, where it is not so yet. Raises OSError."""
        if folder.stat().st_uid == self.uid:
            return
        for path, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(path, name), self.uid, self.gid, follow_symlinks=False)
        # The folder itself comes last: as long as it is not the new owner's, the work is not done.
        os.chown(folder, self.uid, self.gid)


def choose(binaries: Path, home: Path, data: Path) -> Identity:
    """The user to run the server of ``home`` as, whose ``data`` may exist already. No permission is changed.

    An ordinary user runs it as himself. Root runs it as root that calls itself otherwise (a user namespace, so that
    the files stay root's) or, where that is forbidden, as another user. Raises CannotWrite if nobody can.
    """
    owner = data.stat() if data.exists() else None
    me = os.geteuid()
    if owner and me not in (0, owner.st_uid):
        raise CannotWrite(
            f"{data} belongs to {account_name(owner.st_uid)}, and this is {account_name(me)}: start as that user,"
            f" or hand the folder over (sudo chown -R {account_name(me)} '{home}'), or set another DATA_DIR"
        )
    if me and _account(me):
        return Identity((), me, os.getegid(), account_name(me))
    for identity in _borrowed(me, owner):
        if _reaches(identity, binaries, home):
            return identity
    raise CannotWrite(
        f"PostgreSQL does not run as {account_name(me)}, and here no other user can reach both {home} and {binaries}:"
        " start as an ordinary user, or set DATABASE_URL"
    )


def account_name(uid: int) -> str:
    """The name of a user, or its number where it has none."""
    account = _account(uid)
    return account.pw_name if account else f"uid {uid}"


def _borrowed(me: int, owner: os.stat_result | None) -> Iterator[Identity]:
    account = next(filter(None, map(_account, _ACCOUNTS)), None)
    if account and (owner is None or owner.st_uid == me):
        to_account = (f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}")
        yield Identity(("unshare", "--user", *to_account, "--"), me, os.getegid(), account.pw_name)
    if me:
        return
    if owner and owner.st_uid:
        uid, gid = owner.st_uid, owner.st_gid
    elif account:
        uid, gid = account.pw_uid, account.pw_gid
    else:
        return
    for rights in _RIGHTS:
        become = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *rights, "--")
        yield Identity(become, uid, gid, account_name(me))


def _account(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def _reaches(identity: Identity, binaries: Path, home: Path) -> bool:
    """Whether this user can be had on this system, can enter ``home``, and can run PostgreSQL."""
    command = [*identity.prefix, "sh", "-c", _CAN_REACH, "sh", str(home), str(binaries / "postgres")]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  (our own words)
    except FileNotFoundError:  # no unshare, or no setpriv
        return False
