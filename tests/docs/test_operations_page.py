"""docs/operations.md and docker/ against the code: settings, metrics, dashboard, containers."""

import json
import re
import tomllib

import pytest
import yaml
from octostream.api.alarms import ALARM_FILL, ALARMS, CALM_FILL, FALL_S, FREE_FILL, RISE_S, WARN_FILL
from octostream.api.catalogue_metrics import CatalogueCollector
from octostream.api.catalogue_watch import CATALOGUE_ALARMS, LATE_NS, CatalogueState
from octostream.api.feed import LatestFeed
from octostream.api.metrics import STAGES, ReportCollector, Viewers
from octostream.api.process import ROLES
from octostream.api.settings import Settings

from .conftest import ROOT, codes, table
from .test_examples import parse

PAGE = ROOT / "docs" / "operations.md"
DOCKER = ROOT / "docker"
#: What Prometheus itself adds to what it scrapes.
OWN = {"up"}


class Still:
    """A catalogue of which nobody has heard anything."""

    def state(self):
        return CatalogueState()

    def standings(self, investigations):
        raise AssertionError


def families():
    always = ReportCollector(LatestFeed(), Viewers(), "0", lambda: 0).collect()
    return [*always, *CatalogueCollector(Still(), lambda: 0).collect()]


def series():
    """Give every series' name with the labels that it has."""
    known = {}
    for family in families():
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    return known


def test_every_process_of_the_service_has_its_line():
    assert sorted(name for name, *_ in table(PAGE, "process")) == sorted(ROLES)


def test_settings_table():
    documented = {codes(row[0])[0]: row[1].strip("`") for row in table(PAGE, "name")}
    assert list(documented) == list(Settings.model_fields)
    for key, field in Settings.model_fields.items():
        if field.default_factory is None:
            assert documented[key] == str(field.default), key


def test_metrics_table():
    documented = {codes(row[0])[0]: set(codes(row[1])) for row in table(PAGE, "metric")}
    real = {}
    for family in families():
        labels = {label for sample in family.samples for label in sample.labels}
        real[family.name + "_total" * (family.type == "counter")] = labels
    assert documented == real
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith("Stages are")]
    assert codes(line) == list(STAGES)


def test_alarms_table():
    documented = [codes(row[0])[0] for row in table(PAGE, "alarm")]
    assert documented == [*ALARMS, *CATALOGUE_ALARMS]
    text = " ".join(PAGE.read_text().split())
    assert f"for more than {LATE_NS / 60e9:g} min" in text
    assert f"over {WARN_FILL:.0%} (warning) or {ALARM_FILL:.0%} (alarm)".replace("%", " %") in text
    assert f"full for {RISE_S:g} s" in text
    assert (
        f"below {CALM_FILL:.0%}, a warning ends below {FREE_FILL:.0%}, and each stays for {FALL_S:g} s".replace(
            "%", " %"
        )
        in text
    )


def expressions():
    board = json.loads((DOCKER / "grafana/dashboards/octostream.json").read_text())
    found = [(panel["title"], t["expr"]) for panel in board["panels"] for t in panel["targets"]]
    found += [("annotation", a["expr"]) for a in board["annotations"]["list"]]
    rules = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())
    return found + [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def unknown(expression):
    """Give what an expression names that no metric and no label has."""
    known = series()
    plain = re.sub(r'"[^"]*"', "", expression)
    names = set(re.findall(r"\b(octostream_\w+|up)\b", plain))
    labels = set(re.findall(r"[{,]\s*(\w+)\s*=", plain))
    labels |= {w for group in re.findall(r"\bby \(([^)]*)\)", plain) for w in group.split(", ")}
    allowed = {"job", "instance"}.union(*(known.get(n, set()) for n in names))
    return (names - known.keys() - OWN) | (labels - allowed)


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_dashboard_and_alerts_name_only_what_is_exported(where, expression):
    assert "octostream_" in expression
    assert not unknown(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "octostream_nothing",
        "rate(octostream_stage_bytes[1m])",
        'octostream_ready{run="a"}',
        "sum by (run) (octostream_ready)",
    ],
)
def test_a_wrong_expression_is_noticed(expression):
    assert unknown(expression)


def test_legends_use_labels_that_exist():
    board = json.loads((DOCKER / "grafana/dashboards/octostream.json").read_text())
    known = {label for labels in series().values() for label in labels}
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known
            assert target["datasource"]["uid"] == "prometheus"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_verdicts_of_the_alerts_exist():
    known = {s.labels["verdict"] for f in families() for s in f.samples if f.name == "octostream_verdict"}
    named = {v for _, e in expressions() for v in re.findall(r'verdict="([^"]+)"', e)}
    assert named <= known
    assert named


def test_compose_fits_the_rest():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    parse(services["octostream"]["command"])
    http = services["octostream"]["command"][services["octostream"]["command"].index("--http") + 1]
    scrape = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == [http]
    datasource = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert datasource["datasources"][0]["uid"] == "prometheus"
    for service in services.values():
        for mount in service["volumes"]:
            source = mount.rsplit(":", 2 if mount.endswith(":ro") else 1)[0]
            if source.startswith("./"):
                assert (DOCKER / source).is_dir(), source
    build = services["octostream"]["build"]
    assert ((DOCKER / build["context"]).resolve(), (ROOT / build["dockerfile"]).is_file()) == (ROOT, True)


def test_the_container_gets_all_that_the_package_needs():
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {p.split(".")[1] for p in project["tool"]["setuptools"]["packages"] if "." in p}
    needed = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert folders | needed | {"py.typed", "__init__.py", "__main__.py"} == kept
    command = next(line for line in (DOCKER / "Dockerfile").read_text().splitlines() if line.startswith("CMD"))
    parse(json.loads(command.removeprefix("CMD ")))
