"""Frames of one run that wait on the instrument's own disk until the tier takes them.

A spool is a directory: the beginning of the run (`spool_opening`), a journal (`journal`), a lock (`spool_lock`) and
segments of records (`segment`). What `Spool.sync` reports is there after a power cut; everything else that was in the
spool is named as lost, or was never reported.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import messages as m
from ..stream.clock import wall_ns
from ..stream.errors import UsageError
from ..stream.model import Frame, Loss
from ..stream.ranges import Ranges
from .durable import sync_folder
from .journal import Journal
from .journal_facts import Facts
from .segment import Scan, segment_path
from .segment_reader import SegmentReader
from .spool_account import Place, SpoolAccount
from .spool_contents import layout_of, read_contents, without_torn
from .spool_errors import SpoolError, told
from .spool_lock import SpoolLock
from .spool_opening import NAMES, SpoolOpening, read_opening
from .spool_writer import SpoolWriter


class Spool:
    """Frames of one run that wait on the instrument's own disk; made by `create` or `open`.

    `append` and `sync` are for one thread, `read` for another; all else may be called by either. No lock is held while
    frames are written or read.

    Attributes
    ----------
    directory : Path
        Where it lies.
    opening : Open
        What was, or is yet to be, asked of the tier.
    to : str
        Address of the tier.
    limit_bytes : int
        Bytes of frames, with what surrounds them, that the spool may hold.
    """

    def __init__(
        self,
        directory: Path,
        begun: SpoolOpening,
        lock: SpoolLock,
        journal: Journal,
        account: SpoolAccount,
        left: dict[int, list[int]],
    ) -> None:
        self.directory = directory
        self.opening: m.Open = begun.opening
        self.to = begun.to
        self.limit_bytes = begun.limit_bytes
        self._layout = layout_of(begun)
        self._lock = lock
        self._journal = journal
        self._account = account
        self._reader = SegmentReader(self._layout)
        self._writer = SpoolWriter(directory, self._layout, begun.limit_bytes, account, journal, left)
        self._closed = False

    @classmethod
    def create(cls, folder: Path, opening: m.Open, to: str, limit_bytes: int) -> Spool:
        """Make the spool of a run, durable at return.

        Parameters
        ----------
        folder : Path
            Of all spools; made where it does not exist.
        opening : Open
            All that is needed to open the run later, calibration maps too.
        to : str
            Address of the tier.
        limit_bytes : int
            Bytes that it may hold.

        Raises
        ------
        UsageError
            Not one frame fits.
        SpoolError
            It cannot be made; nothing is left behind.
        """
        begun = SpoolOpening(opening, to, limit_bytes, wall_ns())
        if limit_bytes < layout_of(begun).stride:
            need = layout_of(begun).stride
            raise UsageError(f"a spool of {limit_bytes} bytes holds no frame", f"give it {need} bytes at least")
        with told(f"make a spool in {folder}"):
            new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = folder / _new_id(begun.created_ns)
            directory.mkdir(mode=0o700)
            try:
                begun.write(directory)
                journal = Journal(directory, Facts())
                spool = cls(directory, begun, SpoolLock(directory), journal, SpoolAccount(), {})
            except OSError:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            try:
                spool._journal.sync()
                for parent in (folder, *(parent.parent for parent in new)):
                    sync_folder(parent)
            except (OSError, SpoolError):
                shutil.rmtree(directory, ignore_errors=True)
                spool.close()
                raise
        return spool

    @classmethod
    def open(cls, directory: Path) -> Spool:
        """Take up a spool that a process left, whole or killed.

        Frames that were durable and are damaged are among the ``losses``; frames that were not yet durable are there
        if they are whole.

        Raises
        ------
        SpoolError
            A live process has it, it is no spool, or it cannot be read.
        """
        with told(f"open the spool {directory}"):
            read_opening(directory)  # before anything is written there: it may be no spool
            lock = SpoolLock(directory)
            try:
                return cls._taken_up(directory, lock)
            except (OSError, SpoolError):
                lock.close()
                raise

    @classmethod
    def _taken_up(cls, directory: Path, lock: SpoolLock) -> Spool:
        contents = read_contents(directory)
        places = without_torn(contents, directory)
        journal = Journal(directory, contents.facts)
        damaged = contents.damaged
        journal.lose(damaged)
        with suppress(SpoolError):  # on a full disk what waits can still be sent; the next sync tries again
            journal.sync()
        segments = {n: (segment_path(directory, n), found.nbytes) for n, found in contents.segments.items()}
        if not damaged:  # else what looks like unused room may be what is missing
            segments = {n: (path, _cut(path, contents.segments[n])) for n, (path, _) in segments.items()}
        account = SpoolAccount()
        account.take_up(places, segments, {n for n, found in contents.segments.items() if found.damaged})
        left: dict[int, list[int]] = {}
        for number in Ranges.of(places) - contents.kept:
            left.setdefault(places[number].segment, []).append(number)
        return cls(directory, contents.begun, lock, journal, account, left)

    # --- what is known ---

    @property
    def id(self) -> str:
        """Name of the spool among all of the folder."""
        return self.directory.name

    @property
    def run(self) -> str:
        """Run id; empty where the tier has not said it."""
        return self._journal.run[0]

    @property
    def name(self) -> str:
        """Name of the run; empty where the tier has not said it."""
        return self._journal.run[1]

    @property
    def store(self) -> str:
        """Path of the store on the tier; empty where the tier has not said it."""
        return self._journal.run[2]

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Frames that will never be stored, as far as is known here."""
        return self._journal.losses

    @property
    def finished(self) -> str | None:
        """Why capture ended; None where it goes on or was cut off."""
        return self._journal.finished

    @property
    def frames(self) -> Ranges:
        """Frames that wait here; takes longer the more they are."""
        return self._account.frames

    def frame(self, number: int) -> Frame:
        """Give number, time and checksum of a frame without reading it.

        Raises
        ------
        SpoolError
            It is not here.
        """
        return self._place(number).frame

    @property
    def used_bytes(self) -> int:
        """Bytes that the segments take."""
        return self._account.used_bytes

    # --- one thread writes ---

    def append(self, frame: Frame, pixels: NDArray[np.uint16]) -> None:
        """Put a frame behind the others; it is durable once `sync` reports it.

        Parameters
        ----------
        frame : Frame
            Not in the spool yet, or named by an error since; the checksum is that of the pixels.
        pixels : uint16 (y, x), counts
            Free again at return.

        Raises
        ------
        SpoolFullError
            The limit, or the reserve of the disk, is reached. What is in the spool is not affected.
        SpoolError
            It cannot be written. ``frames`` names it, and those before it that will not become durable either: they can
            still be read where they are whole, and may be appended again.
        """
        self._writer.append(frame, pixels)

    def sync(self) -> Ranges:
        """Make everything durable that was appended or noted, and give the frames that became so.

        Raises
        ------
        SpoolError
            ``frames`` names those that will not become durable, as for `append`: what a disk once failed to keep it is
            not asked for again. Others are reported by the next call.
        """
        return self._writer.sync()

    # --- another reads ---

    def read(self, number: int, into: memoryview) -> Frame:
        """Read a frame, durable or not yet.

        Parameters
        ----------
        number : int
            Of the frame.
        into : memoryview
            Gets the pixels, uint16, row by row; without a copy where it begins at a page of memory and has whole pages.

        Raises
        ------
        DamagedFrameError
            It is not what was written; the text names frame, file and place. It stays until `lost` or `forget`.
        SpoolError
            It is not here, or cannot be read.
        """
        place = self._place(number)
        self._reader.read(segment_path(self.directory, place.segment), place.slot, place.frame, into)
        return place.frame

    def _place(self, number: int) -> Place:
        place = self._account.place(number)
        if place is None:
            raise SpoolError(f"frame {number} is not in the spool {self.id}", "it was forgotten or never written")
        return place

    def forget(self, numbers: Iterable[int]) -> None:
        """Give frames up because they are durable at the tier; those that are not here are no matter.

        Space comes back as soon as all frames of a segment are forgotten.
        """
        gone = self._account.take_out(numbers)
        if gone.spans:
            self._journal.forget(gone)  # before the files go: a file that is not there would count as damage
        self._account.remove_doomed()

    # --- what is noted ---

    def note_run(self, run: str, name: str, store: str) -> None:
        """Write down what the tier called the run, durably.

        Raises
        ------
        SpoolError
            It is not durable; the next `sync` tries again.
        """
        self._journal.note_run(run, name, store)
        self._journal.sync()

    def ended(self, why: str) -> None:
        """Write down that capture has ended, and why; durable at return.

        Raises
        ------
        SpoolError
            It is not durable; the next `sync` tries again.
        """
        self._journal.finish(why)
        self._journal.sync()

    def lost(self, losses: Iterable[Loss]) -> None:
        """Write down that frames will never be stored; durable with the next `sync`. They no longer wait here."""
        losses = tuple(losses)
        self._journal.lose(losses)
        self._account.take_out(self._account.within(Ranges.join((k.first, k.last) for k in losses)))
        self._account.remove_doomed()

    # --- the end ---

    def close(self) -> None:
        """Leave the spool as it is, for another process to open."""
        if not self._closed:
            self._writer.close()  # first, because it gives back room that the journal may need
            with suppress(SpoolError):  # what must be durable was synced; the rest is better written down than not
                self._journal.sync()
            self._release()

    def discard(self) -> None:
        """Remove the spool with all that is in it.

        Raises
        ------
        SpoolError
            Something of it cannot be removed.
        """
        with told(f"remove the spool {self.id}"):
            remove(self.directory)
        self._release()

    def _release(self) -> None:
        if not self._closed:
            self._closed = True
            self._writer.close()
            self._journal.close()
            self._lock.close()


def remove(directory: Path) -> None:
    """Remove a spool's directory; whatever interrupts that, what is left can no longer be taken for a spool.

    Raises
    ------
    OSError
        As the system says.
    """
    for name in NAMES:
        with suppress(FileNotFoundError):
            (directory / name).unlink()
    shutil.rmtree(directory)


def _cut(path: Path, found: Scan) -> int:
    """Give back the room that a killed process had no use for yet; gives the bytes that the file has then."""
    if found.used_bytes < found.nbytes:
        with suppress(OSError):  # then it counts as used
            os.truncate(path, found.used_bytes)
            return found.used_bytes
    return found.nbytes


def _new_id(now_ns: int) -> str:
    """Make up a name that sorts by time and that two processes do not both choose; not of the token, a secret."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns / 1e9)) + "-" + secrets.token_hex(3)
