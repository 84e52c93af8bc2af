"""Objects that many of these tests need, made with python-icat."""

from __future__ import annotations

from icat.query import Query
from octostream.tests.icat_server.seed import PROPOSAL


def investigation(client, visit="1"):
    where = {"name": f"= '{PROPOSAL}'", "visitId": f"= '{visit}'"}
    return client.assertedSearch(Query(client, "Investigation", conditions=where, includes=["facility"]))[0]


def dataset(client, name="day 1", visit="1", **fields):
    """Make a dataset that is not created yet."""
    kind = client.assertedSearch("SELECT t FROM DatasetType t WHERE t.name = 'raw'")[0]
    held = {"investigation": investigation(client, visit), "type": kind, "complete": False, **fields}
    return client.new("Dataset", name=name, **held)


def parameter_type(client, name="uuid", kind="STRING", **fields):
    """Create a type of parameter for datasets."""
    held = {"units": "none", "valueType": kind, "applicableToDataset": True, **fields}
    made = client.new("ParameterType", name=name, facility=investigation(client).facility, **held)
    made.create()
    return made


def names(client, entity="Dataset"):
    return client.search(f"SELECT o.name FROM {entity} o ORDER BY o.name")
