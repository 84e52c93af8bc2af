"""What the service's account must be allowed to in ICAT, as its rules say it: entity and letters of CRUD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Without these nothing is registered.
RIGHTS: Final[Mapping[str, str]] = {
    "Facility": "R",
    "Investigation": "R",
    "Instrument": "R",
    "DatasetType": "R",
    "DatafileFormat": "R",
    "ParameterType": "R",
    "Technique": "R",
    "Application": "CR",
    "Sample": "CR",
    "Dataset": "CRUD",
    "DatasetParameter": "CRUD",
    "DatasetInstrument": "CRUD",
    "DatasetTechnique": "CRUD",
    "Datafile": "CRUD",
    "DataCollection": "CRUD",
    "DataCollectionParameter": "CRUD",
    "DataCollectionDataset": "CRUD",
    "Job": "CRUD",
}
#: ``check --create`` needs these, too; the account may lose them again afterwards.
TO_CREATE: Final[Mapping[str, str]] = {
    "DatasetType": "C",
    "DatafileFormat": "C",
    "ParameterType": "C",
    "Technique": "C",
    "Instrument": "C",
}
#: ``owner_command`` needs these, too.
FOR_OWNERS: Final[Mapping[str, str]] = {"InvestigationUser": "R", "User": "R"}
