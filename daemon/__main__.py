"""`python -m daemon` is the `mcfd` command."""

from daemon.cli.main import main

main()
