"""The web process: page and HTTP interface over what the tier publishes and what is on disk."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import uvicorn

from .. import __version__
from ..stream.errors import WireError
from ..stream.link import Poll, Subscriber, context
from ..stream.preview import MAX_COPY_BYTES, read_copy
from ..stream.report import ServiceReport
from .app import create_app, server_config
from .catalogue_watch import Catalogue, CatalogueWatch, Looking, with_catalogue
from .child import on_signals, say
from .feed import LatestFeed
from .stored_runs import StoredRuns, registry_file


class Listening:
    """The thread that takes what the tier publishes into the feed.

    Parameters
    ----------
    copies : str
        Address to listen at.
    feed : LatestFeed
        Where the newest goes.
    catalogue : Catalogue or None
        Whose warnings are added to those of the head; None where there is none.
    """

    def __init__(self, copies: str, feed: LatestFeed, catalogue: Catalogue | None = None) -> None:
        self._feed = feed
        self._catalogue = catalogue
        self._stop = threading.Event()
        self._context = context()
        self._subscriber = Subscriber(self._context, copies, MAX_COPY_BYTES)
        self._thread = threading.Thread(target=self._listen, name="copies", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()
        self._subscriber.close()
        self._context.term()

    def _listen(self) -> None:
        poll = Poll()
        poll.add(self._subscriber)
        while not self._stop.is_set():
            poll.wait(0.2)
            while (parts := self._subscriber.receive()) is not None:
                try:
                    copy = read_copy(parts)
                except WireError:  # a copy that cannot be read is as good as one that was missed
                    continue
                if isinstance(copy, ServiceReport):
                    self._feed.put_report(with_catalogue(copy, self._catalogue))
                else:
                    self._feed.put_preview(copy)


def serve_web(ready_fd: int, data: str, copies: str, listen_fd: int, ingest: str, *, catalogue: bool = False) -> None:
    """Serve until SIGTERM.

    Parameters
    ----------
    ready_fd : int
        Where to say that it is ready.
    data : str
        Directory of the stores.
    copies : str
        Address to listen at for reports and previews.
    listen_fd : int
        Listening TCP socket, made by the parent so that it outlives this process.
    ingest : str
        Address of the tier, shown to people.
    catalogue : bool
        Whether a catalogue is set.
    """
    feed = LatestFeed()
    runs = StoredRuns(Path(data))
    watch = CatalogueWatch(registry_file(Path(data))) if catalogue else None
    app = create_app(feed, runs, Path(data), __version__, ingest=ingest, catalogue=watch)
    server = uvicorn.Server(server_config(app, *listener_address(listen_fd)))
    looking = Looking(watch) if watch else None
    listening = Listening(copies, feed, watch)

    def stop() -> None:
        server.should_exit = True

    on_signals(stop)  # uvicorn takes SIGTERM for the time of ``run`` and hands it on to this afterwards
    say(ready_fd, ready=True)
    with socket.socket(fileno=listen_fd) as listener:
        server.run(sockets=[listener])
    listening.close()
    if looking:
        looking.close()


def listener_address(listen_fd: int) -> tuple[str, int]:
    """Give host and port of a listening socket that somebody else owns."""
    with socket.socket(fileno=os.dup(listen_fd)) as listener:
        host, port = listener.getsockname()[:2]
    return host, port
