"""From recording to store, bit for bit against a float64 computation that shares no code with octostream."""

import numpy as np
import pytest
import tensorstore as ts
import tifffile
import xxhash
import zarr

from .conftest import acquire

pytestmark = pytest.mark.system


def expected_level0(frames, offset=100.0, gain=1.0):
    """Calibrate, mean of 2x2 (partial cells average what they have), pedestal 100, round half to even, clip."""
    n = (frames.astype(np.float64) - offset) * gain
    return np.clip(np.rint(cells(n) + 100.0), 0, 65535).astype(np.uint16)


def cells(image):
    y, x = image.shape[-2:]
    padded = np.full((*image.shape[:-2], y + y % 2, x + x % 2), np.nan)
    padded[..., :y, :x] = image
    parts = [padded[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return np.nanmean(parts, axis=0)


def expected_levels(frames, **calibration):
    levels = [expected_level0(frames, **calibration)]
    while max(levels[-1].shape[-2:]) > 256:
        levels.append(np.rint(cells(levels[-1].astype(np.float64))).astype(np.uint16))
    return levels


def check_store(store, frames, **calibration):
    """Compare a sealed store with frames (t, c, z, y, x)."""
    levels = expected_levels(frames, **calibration)
    root = zarr.open_group(store, mode="r")
    paths = [d["path"] for d in root.attrs["ome"]["multiscales"][0]["datasets"]]
    assert paths == [str(k) for k in range(len(levels))]
    for path, level in zip(paths, levels, strict=True):
        np.testing.assert_array_equal(root[path][...], level)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/{path}"}}
        np.testing.assert_array_equal(ts.open(spec, read=True).result().read().result(), level)
    for name, axis in (("xy", 2), ("xz", 3), ("yz", 4)):
        np.testing.assert_array_equal(root[f"projections/{name}/0"][...], levels[0].max(axis=axis))
    flat = frames.reshape(-1, *frames.shape[-2:])
    table = root["frames"]
    np.testing.assert_array_equal(table["state"][...], np.ones(len(flat)))
    np.testing.assert_array_equal(table["min"][...], flat.min(axis=(1, 2)))
    np.testing.assert_array_equal(table["max"][...], flat.max(axis=(1, 2)))
    np.testing.assert_array_equal(table["mean"][...], flat.mean(axis=(1, 2), dtype=np.float64).astype(np.float32))
    np.testing.assert_array_equal(table["saturated"][...], (flat == 65535).sum(axis=(1, 2)))
    sums = [xxhash.xxh3_64_intdigest(np.ascontiguousarray(f).tobytes()) for f in flat]
    np.testing.assert_array_equal(table["checksum"][...], np.array(sums, np.uint64))


def test_recorded_stack(shared_service, lattice, tmp_path):
    code, agent = acquire(shared_service, lattice, "--set", "calibrate.offset=98", "--name", "lattice")
    assert code == 0, agent.err
    result = agent.json()
    assert result["status"] == "complete"
    assert (result["frames_expected"], result["frames_stored"], result["frames_lost"]) == (88, 88, 0)
    frames = tifffile.imread(lattice)[None, None]
    check_store(result["store"], frames, offset=98.0)


def test_tiled_and_looped(shared_service, lattice):
    code, agent = acquire(
        shared_service, lattice, "--tile", "700x600", "--loop", "2", "--name", "tiled", "--keep-raw", "--rate", "300"
    )
    assert code == 0, agent.err
    recorded = tifffile.imread(lattice)
    z_size, h, w = recorded.shape
    z, y, x = np.ogrid[:z_size, :700, :600]
    frames = recorded[(z + 7 * (y // h) + 13 * (x // w)) % z_size, y % h, x % w]
    frames = np.stack([frames[None], frames[None]])
    store = agent.json()["store"]
    check_store(store, frames)
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["raw/0"][...], frames)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 1, 1, 1, 1), None),
        ((1, 1, 1, 37, 53), None),
        ((1, 1, 5, 33, 1), None),
        ((7, 1, 1, 65, 31), "t=7"),
        ((2, 3, 4, 17, 19), "t=2,c=3,z=4"),
        ((1, 1, 3, 1, 601), None),
    ],
)
def test_shapes(shared_service, tmp_path, shape, axes):
    frames = np.random.default_rng(7).integers(0, 65536, shape, dtype=np.uint16)
    frames[..., 0, 0] = 65535
    path = tmp_path / "frames.tif"
    with tifffile.TiffWriter(path) as file:
        for frame in frames.reshape(-1, *shape[-2:]):
            file.write(frame, photometric="minisblack", metadata=None)
    name = "shape-" + "x".join(map(str, shape))
    code, agent = acquire(shared_service, path, "--name", name, *(["--axes", axes] if axes else []))
    assert code == 0, agent.err
    check_store(agent.json()["store"], frames)


def test_maps(shared_service, lattice, tmp_path):
    """Offset and gain maps travel with the run; near rounding ties one count of difference is allowed."""
    rng = np.random.default_rng(3)
    offset = rng.normal(98, 2, (320, 256)).astype(np.float32)
    gain = rng.uniform(0.5, 2, (320, 256)).astype(np.float32)
    np.save(tmp_path / "offset.npy", offset)
    tifffile.imwrite(tmp_path / "gain.tif", gain)
    settings = [
        "--set",
        f"calibrate.offset={tmp_path / 'offset.npy'}",
        "--set",
        f"calibrate.gain={tmp_path / 'gain.tif'}",
    ]
    code, agent = acquire(shared_service, lattice, "--name", "maps", *settings)
    assert code == 0, agent.err
    frames = tifffile.imread(lattice)[None, None]
    wanted = expected_level0(frames, offset.astype(np.float64), gain.astype(np.float64)).astype(np.int64)
    got = zarr.open_group(agent.json()["store"], mode="r")["0"][...].astype(np.int64)
    off = np.abs(got - wanted)
    assert off.max() <= 1
    # Gains are 16-bit codes: at full scale a value moves by an eighth of a count at most, at these counts by far less.
    exact = cells((frames.astype(np.float64) - offset) * gain) + 100
    assert (abs(exact - np.floor(exact) - 0.5)[off > 0] < 0.01).all()
    assert (off > 0).mean() < 1e-3
