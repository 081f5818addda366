"""Brings what the tests stand on: Debian packages, and Go programs that are built once into a cache."""
