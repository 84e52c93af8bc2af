"""What may not be stored is not, and the answer says why in ICAT's words; what a child lacks comes back as INTERNAL."""

from __future__ import annotations

import icat
import pytest
from octostream.tests.icat_server.objects import dataset, investigation, names, parameter_type


@pytest.fixture
def client(icat_client):
    return icat_client("ingester")


def refused(kind, message, do):
    with pytest.raises(kind) as caught:
        do()
    assert caught.value.message == message
    return caught.value


def test_what_is_required_must_be_given(client):
    made = dataset(client)
    made.name = None
    refused(icat.ICATValidationError, "Dataset: name cannot be null.", made.create)
    made.name, made.type = "day", None
    refused(icat.ICATValidationError, "Dataset: type cannot be null.", made.create)
    made = dataset(client)
    made.investigation = None
    refused(icat.ICATValidationError, "Dataset: investigation cannot be null.", made.create)
    assert names(client) == []


@pytest.mark.parametrize(("field", "length"), [("name", 255), ("location", 511), ("description", 255), ("doi", 255)])
def test_a_text_may_be_so_long_and_no_longer(client, field, length):
    made = dataset(client)
    setattr(made, field, "é" * length)
    made.create()
    assert getattr(client.get("Dataset", made.id), field) == "é" * length
    other = dataset(client, "other")
    setattr(other, field, "é" * (length + 1))
    said = f"Dataset: {field} cannot have length > {length}"
    refused(icat.ICATValidationError, said, other.create)
    made = client.get("Dataset INCLUDE 1", 1)
    setattr(made, field, "é" * (length + 1))
    refused(icat.ICATValidationError, said, made.update)


def test_what_java_counts_as_two_counts_as_two(client):
    made = dataset(client, "🔬" * 127 + "a")
    made.create()
    assert client.get("Dataset", made.id).name == made.name
    long = dataset(client, "🔬" * 128)
    refused(icat.ICATValidationError, "Dataset: name cannot have length > 255", long.create)


def test_a_key_is_there_once(client):
    made = dataset(client, "day")
    made.create()
    inv = investigation(client).id
    said = f"Dataset exists with investigation = 'Investigation:{inv}', name = 'day'"
    assert refused(icat.ICATObjectExistsError, said, made.create).offset is None
    dataset(client, "day", visit="2").create()
    dataset(client, "Day").create()
    assert names(client) == ["Day", "day", "day"]


def test_a_clash_within_one_call_is_told_in_other_words(client):
    first, second = dataset(client, "day"), dataset(client, "day")
    inv = investigation(client).id
    said = f"Dataset exists with investigation = 'id:{inv}', name = 'day'"
    assert refused(icat.ICATObjectExistsError, said, lambda: client.createMany([first, second])).offset == 1
    assert names(client) == []


def test_a_change_that_takes_the_key_of_another_is_internal(client):
    dataset(client, "one").create()
    two = dataset(client, "two")
    two.create()
    two = client.get("Dataset INCLUDE 1", two.id)
    two.name = "one"
    with pytest.raises(icat.ICATInternalError, match=r"^Unexpected DB response .* exists with "):
        two.update()
    assert names(client) == ["one", "two"]


def test_a_change_without_its_relations_is_refused(client):
    made = dataset(client)
    made.create()
    bare = client.get("Dataset", made.id)
    said = f"org.icatproject.core.IcatException: Attempt to set field investigation of Dataset:{made.id} to null"
    refused(icat.ICATInternalError, said, bare.update)
    bare.investigation = made.investigation
    refused(icat.ICATValidationError, "Dataset: type cannot be null.", bare.update)
    bare.type = made.type
    bare.update()


def test_relations_lead_to_what_is_there(client):
    made = dataset(client)
    made.sample = client.new("Sample", id=77)
    with pytest.raises(icat.ICATInternalError, match=r"Dataset\.sample refers to Sample:77, which is not there"):
        made.create()
    made.sample = None
    made.create()
    made.sample = client.new("Sample", id=77)
    made.update()
    assert names(client) == client.search("SELECT d.name FROM Dataset d WHERE d.sample IS NULL") == ["day 1"]


def test_what_is_not_there_cannot_be_changed(client):
    made = dataset(client)
    refused(icat.ICATNoObjectError, "Dataset has null primary key.", made.update)
    made.id = 5
    refused(icat.ICATNoObjectError, "Dataset[id:5] not found.", made.update)
    refused(icat.ICATNoObjectError, "Dataset[id:5] not found.", lambda: client.delete(made))


def test_the_server_alone_gives_ids_and_times(client):
    made = dataset(client)
    made.id = 4711
    made.instance.createId = "simple/eve"
    made.create()
    assert made.id == 1
    found = client.get("Dataset INCLUDE 1", 1)
    assert found.createId == "simple/ingester"
    assert found.createTime == found.modTime
    found.instance.createTime = found.instance.modTime = None
    found.update()
    changed = client.get("Dataset", 1)
    assert changed.createTime is not None
    assert changed.modTime >= changed.createTime


# --- parameters ---------------------------------------------------------------------------------------------------


def parameter(client, kind, **value):
    made = dataset(client)
    made.create()
    return client.new("DatasetParameter", dataset=client.new("Dataset", id=made.id), type=kind, **value)


def test_a_parameter_needs_a_type_that_applies(client):
    made = parameter(client, None, stringValue="x")
    refused(icat.ICATValidationError, "Type of parameter is not set", made.create)
    made.type = parameter_type(client, "for samples", applicableToDataset=False, applicableToSample=True)
    said = "Parameter of type for samples is not applicable to a Dataset"
    refused(icat.ICATValidationError, said, made.create)
    sample = client.new("Sample", name="s", investigation=investigation(client))
    sample.parameters = [client.new("SampleParameter", type=made.type, stringValue="x")]
    sample.create()


def test_an_enforced_range_holds_when_written_and_when_changed(client):
    kind = parameter_type(client, "n", "NUMERIC", enforced=True, minimumNumericValue=1.0, maximumNumericValue=2.0)
    made = parameter(client, kind, numericValue=0.5)
    refused(icat.ICATValidationError, "Parameter of type n has value 0.5 < 1.0", made.create)
    made.numericValue = 2.5
    refused(icat.ICATValidationError, "Parameter of type n has value 2.5 > 2.0", made.create)
    made.numericValue = 2.0
    made.create()
    made.numericValue = 3.0
    refused(icat.ICATValidationError, "Parameter of type n has value 3.0 > 2.0", made.update)


def test_a_range_that_is_not_enforced_does_not_hold(client):
    kind = parameter_type(client, "n", "NUMERIC", minimumNumericValue=1.0)
    parameter(client, kind, numericValue=0.5).create()


def test_enforced_values_are_the_permissible_ones(client):
    kind = parameter_type(client, "colour", enforced=True)
    made = parameter(client, kind, stringValue="blue")
    made.create()
    client.delete(made)
    value = [client.new("PermissibleStringValue", value=v, type=kind) for v in ("red", "green")]
    client.createMany(value)
    said = "Parameter of type colour has value blue not in allowed set [green, red]"
    refused(icat.ICATValidationError, said, made.create)
    made.stringValue = "red"
    made.create()


def test_one_value_of_a_type(client):
    kind = parameter_type(client)
    made = parameter(client, kind, stringValue="x")
    made.create()
    again = client.new("DatasetParameter", dataset=made.dataset, type=kind, stringValue="y")
    said = f"DatasetParameter exists with dataset = 'Dataset:{made.dataset.id}', type = 'ParameterType:{kind.id}'"
    refused(icat.ICATObjectExistsError, said, again.create)


# --- children -----------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_child_is_internal_and_nothing_is_stored(client):
    wrong = parameter_type(client, "for samples", applicableToDataset=False)
    right = parameter_type(client, "right")
    cases = [
        [client.new("DatasetParameter", type=wrong, stringValue="x")],
        [client.new("DatasetParameter", type=right, stringValue="x" * 4001)],
        [client.new("DatasetParameter", type=right, stringValue=v) for v in "xy"],
    ]
    said = ["is not applicable to a Dataset", "stringValue cannot have length > 4000", "DatasetParameter exists with"]
    for parameters, reason in zip(cases, said, strict=True):
        made = dataset(client)
        made.parameters = parameters
        with pytest.raises(icat.ICATInternalError, match=reason):
            made.create()
    assert names(client) == []
    assert client.search("SELECT COUNT(p) FROM DatasetParameter p") == [0]


def test_provenance_is_written_in_one_call(client):
    made = dataset(client)
    made.create()
    kind = parameter_type(client, "run", applicableToDataCollection=True)
    tool = client.new("Application", name="octostream", version="1", facility=investigation(client).facility)
    tool.create()
    source = client.new("DataCollection")
    source.dataCollectionDatasets = [client.new("DataCollectionDataset", dataset=made)]
    source.create()
    result = client.new("DataCollection")
    result.parameters = [client.new("DataCollectionParameter", type=kind, stringValue="run 1:out")]
    job = client.new("Job", application=tool, arguments="--fast")
    job.inputDataCollection = client.new("DataCollection", id=source.id)
    result.jobsAsOutput = [job]
    result.create()
    (found,) = client.search(
        "SELECT j FROM Job j JOIN j.outputDataCollection c JOIN c.parameters p WHERE p.stringValue = 'run 1:out' "
        "INCLUDE j.application, j.inputDataCollection c, c.dataCollectionDatasets d, d.dataset"
    )
    assert found.application.name == "octostream"
    assert [d.dataset.name for d in found.inputDataCollection.dataCollectionDatasets] == ["day 1"]


def test_many_are_deleted_together_or_not_at_all(client):
    made = [dataset(client, name) for name in "ab"]
    for one in made:
        one.create()
    gone = client.new("Dataset", id=99)
    with pytest.raises(icat.ICATNoObjectError) as caught:
        client.deleteMany([made[0], gone])
    assert caught.value.offset == 1
    assert names(client) == ["a", "b"]
    client.deleteMany(made)
    assert names(client) == []


def test_what_belongs_to_two_is_deleted_once(icat_client):
    """A dataset hangs on its investigation and on its sample, which hangs on the investigation, too."""
    client = icat_client("root")
    sample = client.new("Sample", name="s", investigation=investigation(client))
    sample.create()
    dataset(client, sample=sample).create()
    dataset(client, "other", visit="2").create()
    client.delete(investigation(client))
    assert names(client) == ["other"]
    assert names(client, "Sample") == []
