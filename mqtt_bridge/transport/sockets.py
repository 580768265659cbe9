"""What a link does with its socket besides MQTT: its options, and sleeping until there is something to do."""

from __future__ import annotations

import contextlib
import select
import socket

from mqtt_bridge.transport.wake import WakePipe

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux
_UNACKNOWLEDGED_MS = 10_000


def tune(sock: socket.socket) -> None:
    """No Nagle; unacknowledged bytes end the connection after 10 s (Linux, tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Undo delayed acknowledgement for what is read now.

    A broker without TCP_NODELAY (rumqttd) holds its next packet until the last is acknowledged;
    the kernel forgets this option, so it is set at every read (tcp(7)).
    """
    if _QUICKACK is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


class Poller:
    """Sleeps until the one socket has something to read, may be written to, or another thread wakes it.

    `wake` may come from any thread; everything else belongs to the thread that sleeps.
    """

    def __init__(self) -> None:
        self._wake = WakePipe()
        self._all = select.poll()
        self._all.register(self._wake, select.POLLIN)
        self._alone = select.poll()  # the socket without the pipe
        self._fd = -1
        self._writing = False
        self.wake = self._wake.wake
        self.close = self._wake.close

    @property
    def attached(self) -> bool:
        """Whether there is a socket."""
        return self._fd >= 0

    def attach(self, sock: socket.socket) -> None:
        """Watch this socket."""
        self._fd = sock.fileno()
        self._writing = False
        self._all.register(self._fd, select.POLLIN)
        self._alone = select.poll()
        self._alone.register(self._fd, select.POLLIN)

    def detach(self) -> None:
        """Forget the socket, which may be closed already."""
        with contextlib.suppress(KeyError, OSError, ValueError):
            self._all.unregister(self._fd)
        self._fd = -1

    def watch_writing(self, wanted: bool) -> None:
        """Whether to wake when the socket may be written to."""
        if wanted != self._writing:
            self._writing = wanted
            with contextlib.suppress(FileNotFoundError):
                self._all.modify(self._fd, select.POLLIN | select.POLLOUT if wanted else select.POLLIN)

    def sleep(self, most_s: float) -> bool:
        """Sleep, and tell whether the socket has something to read (or has ended)."""
        found = False
        for fd, event in self._all.poll(most_s * 1000.0):
            if fd == self._wake.fileno():
                self._wake.clear()
            elif fd == self._fd and event & ~select.POLLOUT:
                found = True
        return found

    def readable(self, most_s: float = 0.0) -> bool:
        """Whether the socket has something to read, now or within `most_s` seconds; nobody wakes this."""
        return self._fd >= 0 and bool(self._alone.poll(most_s * 1000.0))
