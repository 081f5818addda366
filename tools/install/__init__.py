"""Installs what the tests need: Debian packages, and Go programs that are built once into a cache."""
