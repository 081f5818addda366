"""A way to the API server that takes its time, so that a kill can meet a write on its way."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

NETWORK_DELAY_SECONDS = 0.03


class SlowNetwork:
    """A way to the API server on which every piece takes NETWORK_DELAY_SECONDS, each way.

    What has been sent arrives even when the sender has died meanwhile: such a write comes late.
    """

    def __init__(self, server: str) -> None:
        address = urlsplit(server)
        assert address.hostname is not None
        assert address.port is not None
        self._upstream = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Where to connect instead."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        for end in self._sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                far = socket.create_connection(self._upstream)
                self._sockets.append(far)
                for ends in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=_process, args=ends))
                    self._threads[-1].start()


def _process(source: socket.socket, goal: socket.socket) -> None:
    """Moves bytes one way, late, until the end."""
    with suppress(OSError):
        while piece := source.recv(65536):
            time.sleep(NETWORK_DELAY_SECONDS)
            goal.sendall(piece)
    with suppress(OSError):
        goal.shutdown(socket.SHUT_WR)
