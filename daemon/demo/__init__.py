"""The demonstration: a sandbox and a daemon, with the story told live."""
