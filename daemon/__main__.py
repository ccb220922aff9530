"""`python -m daemon` is the `mcfd` command."""

from daemon.cli import main

main()
