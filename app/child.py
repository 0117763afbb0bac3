"""The API as a child process of the daemon: started, started again when it dies, stopped."""

from __future__ import annotations

import subprocess
import sys
import threading

from app import log
from app.api.handed_on import environment
from app.api.listen import listen, url
from app.clock import Clock
from app.config import Settings

_LOOK_SECONDS = 0.2  # how soon its death is noticed
_STOP_SECONDS = 2.0
_FIRST_DELAY, _MOST_DELAY = 0.5, 30.0
_WELL_SECONDS = 60.0  # a child that lived so long was well: its death starts the back-off anew


class ApiChild:
    """Keeps one ``python -m app serve`` running on sockets that the daemon holds."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Opens the sockets. Raises AlreadyRunning for a busy port, ConfigurationError for one that may not be."""
        self._clock = clock
        self._environment = environment(settings)
        self._listeners = listen(settings)
        self.url = url(self._listeners)
        self._log = log.get(__name__)

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set: start the child, and again when it has died. Returns when it is gone."""
        delay = _FIRST_DELAY
        try:
            while not stop.is_set():
                started = self._clock.monotonic()
                end = self._live(stop)
                if end is None:
                    return
                if self._clock.monotonic() - started >= _WELL_SECONDS:
                    delay = _FIRST_DELAY
                self._log.warning(
                    f"The API process {end}; it is started again in {delay:g} s.", action="api_died", end=end
                )
                self._clock.wait(stop, delay)
                delay = min(2 * delay, _MOST_DELAY)
        finally:
            for listener in self._listeners:
                listener.close()

    def _live(self, stop: threading.Event) -> str | None:
        """One life of the child: how it ended, None if it was stopped."""
        try:
            child = self._start()
        except OSError as error:
            return f"could not be started ({error.strerror})"
        with child:
            self._log.info(f"The API process has started: {self.url}", action="api_started", pid=child.pid)
            while child.poll() is None:
                if self._clock.wait(stop, _LOOK_SECONDS):
                    _stop(child)
                    return None
        return _how(child.returncode)

    def _start(self) -> subprocess.Popen[bytes]:
        listening = [listener.fileno() for listener in self._listeners]
        options = [f"--listen-fd={fd}" for fd in listening]
        return subprocess.Popen(  # noqa: S603  (our own program, with numbers for arguments)
            [sys.executable, "-m", "app", "serve", "--parent-fd=0", *options],
            env=self._environment,
            # Its end is the child's end: the kernel closes it even when this process is killed.
            stdin=subprocess.PIPE,
            pass_fds=listening,
            # The terminal's Ctrl-C and hang-up are for the daemon, which then stops it.
            start_new_session=True,
        )


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _how(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
