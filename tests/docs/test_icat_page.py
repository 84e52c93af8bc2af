"""docs/icat.md against the code: settings, rights, parameters, placeholders, and what is said of rules."""

import importlib.util
import re
import tomllib

import yaml
from octostream.sinks.catalogue.checking import check
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.needs import needs
from octostream.sinks.catalogue.owner_command import PLACEHOLDERS
from octostream.sinks.catalogue.owners import users_of
from octostream.sinks.catalogue.registration import Registration
from octostream.sinks.catalogue.rights import FOR_OWNERS, RIGHTS
from octostream.sinks.catalogue.settings import CatalogueSettings
from octostream.tests.icat_server.seed import FACILITY, PROPOSAL
from octostream.tests.sinks.catalogue.facts import facts_of

from .conftest import ROOT, blocks, codes, table, tables

PAGE = ROOT / "docs" / "icat.md"


def listing():
    spec = importlib.util.spec_from_file_location("list_icat", ROOT / "docs" / "list_icat.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code():
    text = PAGE.read_text()
    assert listing().with_tables(text) == text, "run .venv/bin/python docs/list_icat.py"
    assert listing().with_tables(text.replace("| `z_step` |", "| `step` |")) == text


def test_what_is_written_is_what_the_account_may_create():
    (rows,) = [rows for rows in tables(PAGE) if rows[0] == ["entity", "what", "when"]]
    links = {"DataCollectionParameter", "DataCollectionDataset"}
    created = {entity for entity, letters in RIGHTS.items() if "C" in letters}
    assert {codes(row[0])[0] for row in rows[1:]} == created - links


def test_what_may_stand_in_braces():
    assert {codes(row[0])[0]: row[1] for row in table(PAGE, "in braces")} == dict(PLACEHOLDERS)


def test_the_rules_that_are_shown_are_enough(icat_client, icat_server):
    """An account with exactly these rules registers a run from its beginning to its end."""
    (rules,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    root, client = icat_client("root"), icat_client("ingester")
    root.deleteMany(root.search("SELECT r FROM Rule r"))
    exec(rules.replace("db/octostream", "simple/ingester"), {"client": root})
    settings = CatalogueSettings(url=icat_server.url, facility=FACILITY)
    lookup = Lookup(client, FACILITY)
    found = list(check(lookup, needs(settings, "0.1.0", []), create=True))
    assert {finding.state for finding in found} == {"ok", "created", "not tried"}
    facts = facts_of(0, investigation=PROPOSAL, visit="1", instrument="", stored=6)
    for kind in ("opened", "sealed"):
        registered = Registration(client, settings).deliver(Intent(kind, facts))
    assert registered.complete
    assert users_of(lookup, facts) == ["simple/alice"]
    assert set(FOR_OWNERS) == {"InvestigationUser", "User"}


def test_settings_are_those_of_a_catalogue():
    for block in blocks(PAGE):
        if block.language == "toml":
            CatalogueSettings(**tomllib.loads(block.text)["catalogue"])


def test_an_icat_in_containers_is_there_only_for_who_asks():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    asked = {name for name, service in compose["services"].items() if service.get("profiles") == ["icat"]}
    assert asked == {"icat", "icat-database"}
    assert all(compose["services"][name]["image"].startswith("${ICAT_") for name in asked)
    named = {v.split(":")[0] for s in compose["services"].values() for v in s["volumes"] if v[0] not in "./$"}
    assert named <= set(compose["volumes"])


def test_the_page_names_what_containers_must_be_told_and_connects_the_service():
    text = (ROOT / "docker" / "compose.yaml").read_text()
    page = PAGE.read_text()
    assert set(re.findall(r"\$\{(ICAT_\w+)", text)) == set(re.findall(r"\bICAT_[A-Z_]+", page)), "more, or less"
    (mine,) = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml"]
    shipped, own = yaml.safe_load(text)["services"]["octostream"], mine["services"]["octostream"]
    assert own["command"][:-2] == shipped["command"]
    option, file = own["command"][-2:]
    assert (option, file.startswith(own["volumes"][0].split(":")[1] + "/")) == ("--config", True)
