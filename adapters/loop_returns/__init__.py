"""Everything that knows how Loop Returns speaks: the wires are pure, the client calls, the webhooks listen."""
