"""Large files, written from front to back past the page cache."""

from __future__ import annotations

import os
from pathlib import Path

from ..stream.direct_io import PAGE_BYTES, DirectFile, page_memory

#: Bytes that are gathered before they are written: enough that the system's own work does not count.
GATHERED_BYTES = 4 * 2**20


class AppendedFile:
    """A new file that is written from front to back, and read by others only when it is whole.

    What goes through the page cache is copied into fresh pages and crowds out what others read; of a stream that never
    ends nothing would stay there anyway. So what is appended is gathered in memory that begins at a page, and written
    directly (docs/decisions/0017-shards-past-the-page-cache.md).

    Parameters
    ----------
    path : Path
        Of the file. What is there is what a killed process of the same number left, and is removed.

    Attributes
    ----------
    nbytes : int
        What was appended.

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.nbytes = 0
        self._memory = page_memory(GATHERED_BYTES)
        self._gathered = 0
        path.unlink(missing_ok=True)
        self._file = DirectFile(path, 0o666)

    def append(self, data: bytes) -> None:
        """Write more; not durable yet.

        Raises
        ------
        OSError
            As the system says; the file is of no use any more.
        """
        left = memoryview(data)
        while left:
            count = min(len(left), GATHERED_BYTES - self._gathered)
            self._memory[self._gathered : self._gathered + count] = left[:count]
            self._gathered += count
            self.nbytes += count
            left = left[count:]
            if self._gathered == GATHERED_BYTES:
                self._write()

    def sync(self) -> None:
        """Make it durable as it is, but for its name; nothing can be appended afterwards.

        Raises
        ------
        OSError
            As the system says; the file is of no use any more.
        """
        self._write()
        os.ftruncate(self._file.handle, self.nbytes)  # whole pages were written
        os.fsync(self._file.handle)

    def close(self) -> None:
        """Let go of the file, durable or not."""
        self._file.close()

    def _write(self) -> None:
        if self._gathered:
            pages = -(-self._gathered // PAGE_BYTES) * PAGE_BYTES
            self._file.write([self._memory[:pages]], self.nbytes - self._gathered)
            self._gathered = 0
