"""python-icat is an extra: who has no catalogue need not have it."""

import subprocess
import sys

WITHOUT = "import sys; sys.modules['icat'] = sys.modules['suds'] = None\n"


def run(code):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, timeout=120, check=False
    )


def test_service_and_commands_load_without_it():
    ended = run("import octostream.api.cli, octostream.api.head, octostream.api.app, octostream.api.commands.catalogue")
    assert ended.returncode == 0, ended.stderr


def test_who_needs_it_is_told_what_to_install():
    ended = run(
        "from octostream.api.process import main\n"
        'main(["catalogue", "1", \'{"data": ".", "catalogue": {"url": "http://127.0.0.1", "facility": "F"}}\'])'
    )
    assert "pip install 'octostream[icat]'" in ended.stdout
    assert ended.stderr == ""
