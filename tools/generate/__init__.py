"""Writes what is generated and committed: `make generate`."""
