from dataclasses import replace

import pytest
from octostream.sinks.catalogue import description as d
from octostream.sinks.catalogue.comparing import Found, differences

from .facts import facts_of

FACTS = facts_of(0, stored=6, ended_ns=9)


def dataset(part="reduced", facts=FACTS, status="complete", digest="abc", **changes):
    parameters = {(p.kind.name, p.kind.units): p.value for p in d.parameters(facts, part, status, digest)}
    whole = Found(
        7, d.identity(facts, part), d.dataset_name(facts, part), facts.investigation, facts.visit, status == "complete",
        parameters, 1, part == "reduced",
    )  # fmt: skip
    return replace(whole, **changes)


def wrong(*found, facts=FACTS, status="complete", digest="abc", raw_files=1):
    files = {"reduced": 1, "raw": raw_files}
    return [(difference.text, difference.mendable) for difference in differences(facts, status, digest, files, found)]


def test_what_is_as_it_should_be_differs_in_nothing():
    assert wrong(dataset(), dataset("raw")) == []
    assert wrong(dataset(status="incomplete"), dataset("raw", status="incomplete"), status="incomplete") == []
    assert wrong(dataset(digest=""), dataset("raw", digest=""), digest="") == []


@pytest.mark.parametrize(
    ("changes", "text", "mendable"),
    [
        ({"complete": False}, "dataset 7 is not complete", True),
        ({"files": 0}, "dataset 7 has no Datafile", True),
        ({"job": False}, "dataset 7 has no job", True),
        ({"visit": "2"}, "dataset 7 is in investigation 'inv', visit '2'", False),
        ({"name": "mine"}, "dataset 7 is called 'mine', not 'run0'", False),
    ],
)
def test_each_thing_that_is_wrong_is_named(changes, text, mendable):
    assert wrong(dataset(**changes), dataset("raw")) == [(text, mendable)]


@pytest.mark.parametrize("parameter", d.parameters(FACTS, "reduced", "complete", "abc"), ids=lambda p: p.kind.name)
def test_each_parameter_counts(parameter):
    key = (parameter.kind.name, parameter.kind.units)
    whole = dataset()
    less = replace(whole, parameters={k: v for k, v in whole.parameters.items() if k != key})
    other = replace(whole, parameters={**whole.parameters, key: "other"})
    assert wrong(less, dataset("raw")) == [(f"parameter {key[0]} of dataset 7 is missing", True)]
    assert wrong(other, dataset("raw")) == [
        (f"parameter {key[0]} of dataset 7 is 'other', not {parameter.value!r}", True)
    ]


def test_each_shard_that_should_be_a_file_counts_and_what_others_added_does_not():
    assert wrong(dataset(), dataset("raw", files=3), raw_files=5) == [("dataset 7 has 3 of 5 Datafiles", True)]
    assert wrong(dataset(files=9), dataset("raw", files=6), raw_files=5) == []
    assert wrong(dataset(), dataset("raw", files=0), raw_files=0) == [], "the store is gone: nobody knows"


def test_what_is_not_there_or_there_twice_is_named():
    assert wrong(dataset()) == [("there is no dataset 'run0 raw'", True)]
    assert wrong(dataset(), dataset("raw", id=8), dataset("raw", id=9)) == [
        ("datasets 8 and 9 both claim to be 'run0 raw'", False)
    ]


def test_a_run_that_is_recording_has_what_it_has():
    assert wrong(dataset(job=False, files=0), dataset("raw", parameters={}), status="recording") == []
    assert len(wrong(status="recording")) == 2
