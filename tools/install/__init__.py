"""Installs what the tests need (Debian packages, Go programs built once into a cache), and builds the image."""
