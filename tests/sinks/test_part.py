"""Reading parts of committed blocks: what is wrong with a file is damage, what is wrong with the way to it is not."""

import errno
import os

import pytest
from octostream.sinks.part import DamagedPartError, read_part
from octostream.sinks.runfile import run_file
from octostream.stream.errors import StoreError

OF_THE_FILE = (errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL)
OF_THE_WAY = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN)


class Failing:
    """An array of which nothing can be read."""

    def __init__(self, cause):
        self.cause = cause

    def __getitem__(self, where):
        return self

    def read(self):
        return self

    def result(self):
        raise self.cause


def causes(code):
    """Give what is raised for an error of the system: by Python, and by tensorstore in either of its manners."""
    text = os.strerror(code)
    yield OSError(code, text)
    yield ValueError(f"DATA_LOSS: Error reading [OS error {code}: {text}]")
    yield ValueError(f"UNKNOWN: Error reading {text} [os_error_code='{code}']")


@pytest.fixture
def store(acquire, tmp_path):
    made = acquire(tmp_path)
    made.keeper()
    return made.store


def error_of(store, cause):
    """Read a part while it fails."""
    with pytest.raises(StoreError) as caught:
        read_part(store, Failing(cause), store / "zarr.json", (slice(1),), "level 0 of block 3")
    assert str(caught.value).startswith(f"cannot read level 0 of block 3 of {store}: ")
    assert "\n" not in str(caught.value)
    return type(caught.value)


@pytest.mark.parametrize("code", OF_THE_FILE)
def test_what_the_disk_cannot_give_is_damaged_or_its_run_would_wait_for_ever(store, code):
    assert {error_of(store, cause) for cause in causes(code)} == {DamagedPartError}


def test_what_can_be_read_and_not_decoded_is_damaged(store):
    assert error_of(store, ValueError("DATA_LOSS: CRC-32C does not match")) is DamagedPartError


@pytest.mark.parametrize("code", OF_THE_WAY)
def test_a_file_that_nobody_lets_us_read_is_not_called_damaged(store, code):
    assert {error_of(store, cause) for cause in causes(code)} == {StoreError}


@pytest.mark.parametrize("code", OF_THE_FILE)
def test_where_the_store_is_not_there_no_part_is_damaged(store, code):
    run_file(store).rename(run_file(store).with_name("away"))
    assert {error_of(store, cause) for cause in causes(code)} == {StoreError}
