"""Instruments and their keys, made by the commands that an operator types."""

import json
from dataclasses import dataclass

from octostream.api.cli import app
from octostream.stream.errors import OctostreamError
from typer.testing import CliRunner


@dataclass
class Said:
    out: list[str]
    err: list[str]

    def json(self):
        return json.loads(self.out[-1])


class Instruments:
    """A tier's keys, made by the commands that an operator types."""

    def __init__(self, data, folder):
        self.data, self.folder, self.said = data, folder, []

    def keys(self, *arguments, code=0):
        """Run a command in this process: starting one for each would take longer than all tests here."""
        ran = CliRunner().invoke(app, ["keys", *map(str, arguments), "--data", str(self.data)])
        error = ran.exception if isinstance(ran.exception, OctostreamError) else None
        assert (error.exit_code if error else ran.exit_code) == code, ran.output
        out, err = ran.stdout.splitlines(), [f"octostream: {error}"] if error else []
        self.said += out + err
        return Said(out, err)

    def new(self, name, *investigations):
        self.keys("new", name, "--dir", self.folder, "--json")
        file = self.folder / f"{name}.key"
        if investigations:
            where = [f"--investigation={i}" for i in investigations if i != "*"] or ["--any-investigation"]
            self.keys("allow", file, *where, "--json")
        return file
