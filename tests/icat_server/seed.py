"""A small facility to begin with: two visits of one proposal, three users and the rights that they need.

The rules are the ones that a service account needs in a real catalogue: it reads everything, keeps datasets and what
belongs to them, and may add types; people and their investigations are not its to change. Users see the investigations
they are in.
"""

from __future__ import annotations

from octostream.tests.icat_server.access import ROOT, Access
from octostream.tests.icat_server.bean import Bean
from octostream.tests.icat_server.schema import SCHEMA
from octostream.tests.icat_server.service import Service
from octostream.tests.icat_server.values import milliseconds
from octostream.tests.icat_server.writing import Writer

#: Password by user name; log in with the authenticator "simple".
PASSWORDS = {"root": "root-secret", "ingester": "ingester-secret", "alice": "alice-secret", "bob": "bob-secret"}
FACILITY = "DEMO"
INSTRUMENT = "lightsheet-1"
#: Name and visit of the investigations, and who is in them.
PROPOSAL = "2026-0042"
VISITS = {"1": "alice", "2": "bob"}
#: What everybody may read, and the service account not change.
PEOPLE = ("User", "Grouping", "UserGroup", "Rule", "PublicStep", "Facility", "Instrument", "InstrumentScientist")
INVESTIGATIONS = ("Investigation", "InvestigationUser", "InvestigationGroup", "InvestigationInstrument")
#: Tables without anything that belongs to somebody.
PUBLIC = (
    *("Facility", "Instrument", "InvestigationType", "DatasetType", "DatafileFormat", "ParameterType"),
    *("PermissibleStringValue", "Application", "Technique", "SampleType", "FacilityCycle"),
)
#: What a user sees of an investigation: entity, and the way from it to the investigation.
OWN = {
    "Investigation": "",
    "InvestigationUser": "JOIN o.investigation i",
    "InvestigationParameter": "JOIN o.investigation i",
    "Sample": "JOIN o.investigation i",
    "SampleParameter": "JOIN o.sample s JOIN s.investigation i",
    "Dataset": "JOIN o.investigation i",
    "DatasetParameter": "JOIN o.dataset d JOIN d.investigation i",
    "DatasetTechnique": "JOIN o.dataset d JOIN d.investigation i",
    "DatasetInstrument": "JOIN o.dataset d JOIN d.investigation i",
    "Datafile": "JOIN o.dataset d JOIN d.investigation i",
    "DatafileParameter": "JOIN o.datafile f JOIN f.dataset d JOIN d.investigation i",
    "DataCollectionDataset": "JOIN o.dataset d JOIN d.investigation i",
}


class _Planter:
    """Creates objects as root, without the wire between."""

    def __init__(self, service: Service):
        access = Access(service.store, ROOT, lambda: 0)
        self._writer = Writer(service.store, access, milliseconds("2026-01-05T09:00:00"))

    def plant(self, entity: str, **fields: str | bool | int | Bean) -> Bean:
        """Create one object; gives it with its id."""
        ones = {name: value for name, value in fields.items() if isinstance(value, Bean)}
        values = {name: value for name, value in fields.items() if not isinstance(value, Bean)}
        bean = Bean(SCHEMA[entity], dict(values), ones)
        self._writer.create(bean)
        return bean


def seed(service: Service) -> None:
    """Put the small facility into an empty catalogue; one that has a facility is left as it is."""
    with service.store.transaction():
        if not service.store.rows('SELECT 1 FROM "Facility"'):
            planter = _Planter(service)
            users = {name: planter.plant("User", name=f"simple/{name}", fullName=name.title()) for name in PASSWORDS}
            _facility(planter, users)
            _rules(planter, users["ingester"])


def _facility(planter: _Planter, users: dict[str, Bean]) -> None:
    plant = planter.plant
    facility = plant("Facility", name=FACILITY, fullName="Demonstration facility", daysUntilRelease=1095)
    instrument = plant("Instrument", name=INSTRUMENT, fullName="Light-sheet microscope 1", facility=facility)
    for name in ("raw", "processed"):
        plant("DatasetType", name=name, facility=facility)
    kind = plant("InvestigationType", name="experiment", facility=facility)
    for visit, user in VISITS.items():
        investigation = plant(
            "Investigation",
            name=PROPOSAL,
            visitId=visit,
            title=f"Zebrafish hearts, visit {visit}",
            startDate=milliseconds(f"2026-0{visit}-10T08:00:00"),
            facility=facility,
            type=kind,
        )
        role = "Principal investigator"
        plant("InvestigationUser", investigation=investigation, user=users[user], role=role)
        plant("InvestigationInstrument", investigation=investigation, instrument=instrument)


def _rules(planter: _Planter, ingester: Bean) -> None:
    group = planter.plant("Grouping", name="ingesters")
    planter.plant("UserGroup", user=ingester, grouping=group)
    for entity in SCHEMA:
        letters = "R" if entity in PEOPLE or entity in INVESTIGATIONS else "CRUD"
        planter.plant("Rule", crudFlags=letters, what=entity, grouping=group)
    for entity in PUBLIC:
        planter.plant("Rule", crudFlags="R", what=entity)
    planter.plant("Rule", crudFlags="R", what="SELECT o FROM User o WHERE o.name = :user")
    for entity, way in OWN.items():
        start = "i" if way else "o"
        own = f"SELECT o FROM {entity} o {way} JOIN {start}.investigationUsers iu JOIN iu.user u WHERE u.name = :user"
        planter.plant("Rule", crudFlags="R", what=own)
