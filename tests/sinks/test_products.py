"""Products of every type and shape: stored exactly, described so that viewers and validators understand them."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks.attributes import inner_groups
from octostream.sinks.folds import merged
from octostream.sinks.layout import array_metadata, array_path, by_frame, part_bytes, whole_bytes
from octostream.sinks.ngff import image_attributes, omero
from octostream.sinks.recompute import mean_of, projected
from octostream.sinks.runfile import read_run
from octostream.sinks.verify import verify
from octostream.sinks.windows import window_of
from octostream.stream.model import Pixel, Plan, Product

from .conftest import projection
from .damaged import PLANS, product, record_all
from .test_store import agrees, shapes

IMAGES = ["", "projections/xy-min", "projections/t-max", "dff", "registered", "moments/mean", "labels/foreground"]


@pytest.fixture(params=sorted(PLANS))
def sealed(request, acquire, tmp_path):
    made = acquire(tmp_path, *PLANS[request.param], extra=True)
    keeper = record_all(made, seal=False)
    made.derive()
    keeper.seal([])
    return made


@settings(deadline=None, max_examples=15)
@given(shapes, st.sampled_from([None, 1.0, 2.5, 7.0]), st.randoms(use_true_random=False))
def test_every_product_is_read_back_bit_for_bit(acquire, ram, shape, rate_hz, rng):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), shape, rate_hz, extra=True)
        keeper, writer = made.keeper(), made.writer()
        order = list(range(len(made.plan.blocks)))
        rng.shuffle(order)
        for number in order:
            made.record(writer, number)
            keeper.publish([number])
        made.derive()
        keeper.seal([])
        for p in made.products:
            assert agrees(made.store, p, made.arrays[p.path]) == made.arrays[p.path].size
        report = verify(made.store)
        assert report.ok, report.problems


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(PLANS)), st.data())
def test_where_frames_are_lost_nothing_is_shown(acquire, ram, plan, data):
    with tempfile.TemporaryDirectory(dir=ram) as folder:
        made = acquire(Path(folder), *PLANS[plan], extra=True)
        kept = data.draw(st.sets(st.integers(0, made.plan.frames - 1), min_size=1))
        keeper, writer = made.keeper(), made.writer()
        held = [b for b in made.plan.blocks if kept & set(b.frames)]
        for block in held:
            made.record(writer, block.number, kept)
        made.derive({b.number for b in held})
        keeper.seal([])
        there = np.zeros(made.plan.shape[:3], bool)
        for n in kept:
            there[made.plan.index(n)] = True
        level0 = np.where(there[..., None, None], made.arrays["0"], 0)
        for p in made.products:
            if p.follows == "level 0":
                expected = projection(p, level0, there)
            elif p.stage == "block" and by_frame(p):
                shape = (*there.shape, *[1] * (len(p.axes) - 3))
                expected = np.where(there.reshape(shape), made.arrays[p.path], 0)
            else:
                continue
            agrees(made.store, p, expected.astype(p.dtype))
        report = verify(made.store)
        assert report.ok, report.problems


def test_what_is_missing_in_an_array_of_floats_is_not_zero(acquire, tmp_path):
    made = acquire(tmp_path, *PLANS["stacks"], extra=True)
    keeper, writer = made.keeper(), made.writer()
    for number in (0, 3):
        made.record(writer, number)
        made.derive({number}, whole=False)
    keeper.seal([])
    change = zarr.open_array(made.store / "dff/0", mode="r")
    assert math.isnan(change.fill_value)
    assert np.isnan(change[0, 1]).all()
    assert not np.isnan(change[0, 0]).any()
    assert zarr.open_array(made.store / "registered/0", mode="r").fill_value == 0


def test_images_labels_and_values_are_what_validators_expect(sealed):
    for image in IMAGES:
        yaozarrs.validate_zarr_store(str(sealed.store / image))
        group = zarr.open_group(sealed.store / image, mode="r")
        kind = "ImageLabel" if image.startswith("labels") else "Image"
        assert type(ome_zarr_models.open_ome_zarr(group)).__name__ == kind
    yaozarrs.validate_zarr_store(str(sealed.store / "labels"))
    labels = zarr.open_group(sealed.store / "labels", mode="r").attrs["ome"]
    assert labels == {"version": "0.5", "labels": ["foreground"]}
    told = zarr.open_group(sealed.store / "labels/foreground", mode="r").attrs["ome"]
    assert told["image-label"] == {"source": {"image": "../../"}}
    assert "omero" not in told
    (sealed.store / "labels/foreground" / told["image-label"]["source"]["image"] / "zarr.json").resolve(strict=True)
    histogram = zarr.open_array(sealed.store / "histogram", mode="r")
    assert histogram.metadata.dimension_names == ("t", "c", "z", "b")
    assert dict(histogram.attrs) == {"octostream": {"meaning": "pixels a bin"}}


def test_labels_lie_on_the_image(sealed):
    levels = zarr.open_group(sealed.store, mode="r").attrs["ome"]["multiscales"][0]
    label = zarr.open_group(sealed.store / "labels/foreground", mode="r").attrs["ome"]["multiscales"][0]
    assert label["axes"] == levels["axes"]
    assert label["datasets"] == levels["datasets"]


def test_projections_say_what_they_are_and_only_counts_have_a_range_of_display(sealed):
    stored = read_run(sealed.store)
    groups = inner_groups(stored, {0: (3, 9)})
    of = {path: group["attributes"]["ome"] for path, group in groups.items() if "ome" in group["attributes"]}
    kinds = {path: ome["multiscales"][0].get("type") for path, ome in of.items() if "multiscales" in ome}
    assert {path: kind for path, kind in kinds.items() if kind} == {
        **{f"projections/{p}": "maximum" for p in ("xy", "xz", "yz", "t-max")},
        **{f"projections/{p}-min": "minimum" for p in ("xy", "xz", "yz")},
        **{f"projections/{p}-mean": "mean" for p in ("xy", "xz", "yz")},
    }
    assert of["projections/t-max"]["omero"]["channels"][0]["window"]["start"] == 3
    assert "omero" not in of["dff"]
    assert "omero" not in of["moments/mean"]
    assert [a["name"] for a in of["moments/mean"]["multiscales"][0]["axes"]] == list("czyx")


def test_an_axis_of_its_own_has_no_sampling_of_the_plan():
    plan = Plan((2, 1, 3, 8, 8), pixel=Pixel(0.5, 0.1, 0.2))
    stack = Product("resampled", "tczyx", (2, 1, 7, 4, 4), "uint16", 2, own="z")
    ((image,),) = [image_attributes("x", plan, [stack], "", None)["multiscales"]]
    assert [axis.get("unit") for axis in image["axes"]] == [None, None, None, "micrometer", "micrometer"]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 1, 1, 0.2, 0.4]


def test_several_levels_below_the_root_are_one_image(acquire, tmp_path):
    made = acquire(tmp_path)
    made.products += tuple(
        Product(f"registered/{k}", "tczyx", (3, 1, 4, 5 - 2 * k, 7 - 3 * k), "uint16", 2 << k, stage="series")
        for k in (0, 1)
    )
    made.keeper()
    ome = zarr.open_group(made.store / "registered", mode="r").attrs["ome"]
    scales = [d["coordinateTransformations"][0]["scale"][3:] for d in ome["multiscales"][0]["datasets"]]
    assert scales == [[0.2, 0.4], [0.4, 0.8]]
    assert [d["path"] for d in ome["multiscales"][0]["datasets"]] == ["0", "1"]
    assert ome["multiscales"][0]["type"] == "mean"
    yaozarrs.validate_zarr_store(str(made.store / "registered"))


def test_the_display_range_of_codes_is_that_of_codes():
    assert window_of(np.array([255, 255], np.uint8)) == (254, 255)
    assert window_of(np.array([65535], np.uint16)) == (65534, 65535)
    window = omero(Plan((1, 1, 1, 4, 4)), {}, "uint8")["channels"][0]["window"]
    assert window == {"min": 0, "max": 255, "start": 0, "end": 255}


def test_what_a_product_is_stays_with_its_array():
    plan = Plan((1, 1, 1, 4, 4))
    codes = Product("0", "tczyx", (1, 1, 1, 4, 4), "uint8", 1, attributes={"step": 1.5}, meaning="codes")
    assert array_metadata(plan, codes, (1, 1, 1, 4, 4))["attributes"] == {
        "octostream": {"meaning": "codes", "step": 1.5}
    }


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=30))
def test_means_are_rounded_half_to_even_exactly(values):
    total = np.array([sum(values)], np.uint32)
    assert mean_of(total, len(values))[0] == round(sum(values) / len(values))
    assert mean_of(total, 0)[0] == min(sum(values), 65535) or sum(values) > 65535


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(1, 4)] * 5), st.sampled_from(["max", "min", "mean"]), st.data())
def test_projections_are_those_of_the_definition_and_parts_merge_to_the_whole(shape, mode, data):
    there = data.draw(st.sampled_from([np.ones(shape[:3], bool), np.random.default_rng(3).random(shape[:3]) > 0.4]))
    level0 = np.random.default_rng(2).integers(0, 2**16, shape, dtype=np.uint16)
    level0[~there] = 0
    suffix = "" if mode == "max" else f"-{mode}"
    for plane, axes, axis, fold in (("xy", "tcyx", 2, mode), ("xz", "tczx", 3, ""), ("yz", "tczy", 4, "")):
        shape_of = tuple(n for k, n in enumerate(shape) if k != axis)
        p = Product(f"projections/{plane}{suffix}", axes, shape_of, "uint16", 1, fold, follows="level 0")
        whole = projected(p, level0, there, sums=False)
        np.testing.assert_array_equal(whole, projection(p, level0, there))
    stack, held = level0[:1, :1], there[:1, :1]
    p = Product(f"projections/xy{suffix}", "tcyx", (1, 1, *shape[3:]), "uint16", 1, mode, follows="level 0")
    cut = [z for z in range(shape[2]) if held[0, 0, z]]
    if cut:
        parts = [projected(p, stack[:, :, z : z + 1], held[:, :, z : z + 1], sums=True) for z in cut]
        np.testing.assert_array_equal(merged(p, parts, len(cut)), projected(p, stack, held, sums=False))


@pytest.mark.parametrize(("dtype", "size"), [("uint8", 1), ("uint16", 2), ("uint32", 4), ("float32", 4)])
def test_bytes_are_those_of_the_type(dtype, size):
    plan = Plan((2, 1, 6, 4, 4), rate_hz=3.0)
    assert plan.blocks.splits_stacks
    assert whole_bytes(Product("0", "tczyx", (2, 1, 6, 4, 4), dtype, 1)) == 192 * size
    assert part_bytes(plan, Product("0", "tczyx", (2, 1, 6, 4, 4), dtype, 1), plan.blocks[0]) == 48 * size
    mean = Product("projections/xy-mean", "tcyx", (2, 1, 4, 4), "uint16", 1, "mean")
    assert part_bytes(plan, mean, plan.blocks[0]) == 64
    assert product_bytes(plan, Product("projections/xy", "tcyx", (2, 1, 4, 4), "uint16", 1, "max")) == 32


def product_bytes(plan, of):
    return part_bytes(plan, of, plan.blocks[0])


def test_arrays_of_values_lie_where_their_path_says(acquire, tmp_path):
    made = acquire(tmp_path, extra=True)
    assert array_path(product(made, "histogram")) == "histogram"
    assert array_path(product(made, "resampled")) == "resampled/0"
    assert array_path(product(made, "dff/0")) == "dff/0"
