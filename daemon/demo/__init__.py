"""The demonstration: a sandbox and a daemon, with live commentary."""
