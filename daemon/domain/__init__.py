"""Pure rules: no await, no clock, no I/O. Instants are Unix seconds (UTC), durations are seconds."""
