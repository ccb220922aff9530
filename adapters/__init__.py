"""Adapters: code that speaks a vendor's, the database's, the network's or the machine's own language."""
