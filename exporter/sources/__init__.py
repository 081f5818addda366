"""Shared connections of collectors, and the discovery of bouncers."""
