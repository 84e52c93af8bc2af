"""``python -m octostream``."""

from octostream.api.cli import main

main()
