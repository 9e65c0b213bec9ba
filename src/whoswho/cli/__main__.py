"""`python -m whoswho.cli`: the command where it is not installed as `whoswho`."""

from whoswho import cli

cli.main()
