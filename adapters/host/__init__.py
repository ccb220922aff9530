"""The machine: its clock, its service manager, its keys, its counters."""
