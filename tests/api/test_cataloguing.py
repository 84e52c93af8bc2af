"""What the catalogue is told, and when."""

from dataclasses import replace

import pytest
from octostream.api.cataloguing import Cataloguing
from octostream.api.described import Techniques
from octostream.api.stored_runs import registry_file
from octostream.sinks.catalogue.investigations import FRESH_NS, Investigations
from octostream.sinks.catalogue.template import TemplateError
from octostream.stream.clock import wall_ns
from octostream.stream.errors import RefusedError, StoreError
from octostream.stream.ranges import Ranges

from ..sinks.catalogue.facts import report_of, run_of


@pytest.fixture
def file(tmp_path):
    made = registry_file(tmp_path)
    made.parent.mkdir()
    return made


@pytest.fixture
def cataloguing(tmp_path, file):
    made = Cataloguing(tmp_path, 60.0, Techniques())
    yield made
    made.close()


def a_run(tmp_path, n=0, **changes):
    return replace(run_of(n, str(tmp_path / f"inv/1/run{n}.ome.zarr")), **{"visit": "1", **changes})


def test_each_step_of_a_run_is_an_intent(cataloguing, tmp_path):
    run = a_run(tmp_path)
    report = report_of(0, store=run.store, stored=3)
    assert [i.kind for i in cataloguing.opened(run, report)] == ["opened"]
    (grown,) = cataloguing.grown(run, report)
    assert (grown.kind, grown.facts.stored, grown.facts.location) == ("grown", 3, "inv/1/run0.ome.zarr")
    assert [i.kind for i in cataloguing.ended(run, replace(report, status="complete"))] == ["sealed"]
    assert [i.kind for i in cataloguing.ended(run, replace(report, status="incomplete"))] == ["failed"]


def test_a_link_to_the_data_directory_is_the_directory_and_a_store_elsewhere_is_one_line(cataloguing, tmp_path):
    link = tmp_path.with_name(tmp_path.name + " by another way")
    link.symlink_to(tmp_path)
    run = a_run(link)
    (grown,) = cataloguing.grown(run, report_of(0, store=run.store))
    assert grown.facts.location == "inv/1/run0.ome.zarr"
    (tmp_path / "archive/run0.ome.zarr").mkdir(parents=True)
    (tmp_path / "inv/1").mkdir(parents=True)
    (tmp_path / "inv/1/run0.ome.zarr").symlink_to(tmp_path / "archive/run0.ome.zarr")
    (grown,) = cataloguing.grown(run, report_of(0, store=run.store))
    assert grown.facts.location == "inv/1/run0.ome.zarr"
    with pytest.raises(StoreError, match="does not lie in the data directory"):
        cataloguing.grown(replace(a_run(tmp_path), store="/elsewhere/run0.ome.zarr"), report_of(0))


def test_nothing_is_told_where_there_is_no_catalogue_and_of_runs_of_nobody(tmp_path, cataloguing):
    none = Cataloguing(tmp_path, 0.0, Techniques())
    local = a_run(tmp_path, investigation="local", visit="")
    for which, run in ((none, a_run(tmp_path)), (cataloguing, local)):
        assert [*which.opened(run, report_of(0)), *which.ended(run, report_of(0))] == []
        which.check(run)
    for which, run in ((none, a_run(tmp_path)), (cataloguing, local)):
        assert [list(which.due(now, [(run, Ranges.of(range(n)))])) for n, now in enumerate((0.0, 1000.0))] == [[], []]

    def looked_at():
        pytest.fail("the head looks at all its runs at every turn, and nobody is told")
        yield  # a generator, as the head hands it over

    assert list(none.due(2000.0, looked_at())) == []
    none.close()


def test_an_investigation_is_refused_only_where_it_is_known_to_be_missing(cataloguing, file, tmp_path):
    cataloguing.check(a_run(tmp_path))
    known = Investigations(file)
    known.keep({("inv", "1"), ("inv", "2")}, wall_ns())
    cataloguing.check(a_run(tmp_path))
    with pytest.raises(RefusedError, match=r"no investigation 'inv' with visit '3'.*its visits are '1', '2'"):
        cataloguing.check(a_run(tmp_path, visit="3"))
    with pytest.raises(RefusedError, match=r"no investigation 'imv'.*--investigation local"):
        cataloguing.check(a_run(tmp_path, investigation="imv"))
    known.keep({("inv", "1")}, wall_ns() - FRESH_NS - 10**9)
    cataloguing.check(a_run(tmp_path, visit="3"))
    known.close()


def test_who_may_see_nothing_for_a_moment_refuses_no_run(cataloguing, file, tmp_path):
    known = Investigations(file)
    known.keep(set(), wall_ns())
    cataloguing.check(a_run(tmp_path))
    for names in ({("inv", "1")}, set(), {("another", "")}):
        known.keep(names, wall_ns())
    cataloguing.check(a_run(tmp_path))
    known.close()


def test_a_run_that_grows_is_told_of_once_in_a_while(cataloguing, tmp_path):
    run = a_run(tmp_path)

    def due(now, *blocks):
        return list(cataloguing.due(now, [(run, Ranges.of(blocks))]))

    assert due(0.0) == due(59.0, 1) == []
    assert due(60.0, 1) == [run.id]
    assert due(61.0, 1, 2) == due(119.0, 1, 2) == []
    assert due(120.0, 1, 2) == [run.id]
    assert due(500.0, 1, 2) == []


def test_nothing_is_remembered_of_a_run_that_is_open_no_more_however_it_ended(cataloguing, tmp_path):
    runs = [a_run(tmp_path, n) for n in range(3)]
    list(cataloguing.due(0.0, [(run, Ranges.of([0])) for run in runs]))
    assert list(cataloguing.due(60.0, [(runs[1], Ranges.of([0, 1]))])) == [runs[1].id]
    assert list(cataloguing._told) == [runs[1].id]


def test_whichever_field_is_for_the_name_of_the_sample_names_it(tmp_path):
    field = 'type = "text"\nhelp = "of it"\nome = "Image/Description"\nrembi = "Biosample: identity"\n'
    fish = f'[field.fish]\nlabel = "Fish"\nicat = "Sample.name"\n{field}'
    label = f'[field.sample]\nlabel = "Label"\nicat = "sample_label"\n{field}'
    for name, text in (("fish", fish), ("labels", label), ("both", fish + label)):
        (tmp_path / f"{name}.toml").write_text(f'summary = "Ours"\n{text}')
    techniques = Techniques(tmp_path)

    def named(technique, **metadata):
        run = a_run(tmp_path, technique=technique)
        known = techniques.for_catalogue(replace(run, plan=replace(run.plan, metadata=metadata)))
        return known.sample, [(name, value) for name, _, value in known.parameters]

    assert named("fish", fish="7") == ("7", [])
    assert named("labels", sample="red") == ("", [("sample_label", "red")])
    assert named("both", fish="7", sample="red") == ("7", [("sample_label", "red")])
    assert named("free", sample="9")[0] == "9"


FIELD = 'label = "X"\nhelp = "of it"\nome = "Image/Description"\nrembi = "Biosample: x"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f'[field.power]\ntype = "number"\nunit = "mW"\nrange = [0, 5]\nicat = "laser_power"\n{FIELD}',
            "templates 'lightsheet' and 'ours' disagree on the parameter 'laser_power' in mW: STRING, NUMERIC",
        ),
        ('[[term]]\nid = "x"\nlabel = "SPIM"\niri = "y"\n', "on the technique 'SPIM': http"),
        (
            '[[term]]\nid = "x"\nlabel = "sheet"\niri = "http://purl.obolibrary.org/obo/FBbi_00000369"\n',
            "FBbi_00000369: 'SPIM', 'sheet'",
        ),
    ],
)
def test_templates_that_contradict_each_other_stop_the_service(tmp_path, text, said):
    (tmp_path / "ours.toml").write_text(f'summary = "Ours"\n{text}')
    with pytest.raises(TemplateError, match=said):
        Techniques(tmp_path).check()
    (tmp_path / "ours.toml").write_text('summary = "Ours"\nbase = "lightsheet"')
    Techniques(tmp_path).check()


def test_metadata_mean_what_the_technique_says_and_nothing_is_lost_without_it(tmp_path):
    run = a_run(tmp_path, technique="lightsheet")
    run = replace(run, plan=replace(run.plan, metadata={"sample": "fish 3", "sheet_thickness_um": 4.5}))
    known = Techniques().for_catalogue(run)
    assert (known.sample, known.technique_pid) == ("fish 3", "http://purl.obolibrary.org/obo/FBbi_00000369")
    assert [value for _, units, value in known.parameters if units == "um"] == [4.5]
    gone = Techniques().for_catalogue(replace(run, technique="taken away"))
    assert gone.sample == "fish 3"
    assert [(name, '"sheet_thickness_um": 4.5' in str(value)) for name, _, value in gone.parameters] == [
        ("metadata", True)
    ]
