"""The machine: clock, service manager, encryption keys, metrics."""
