"""Connections that collectors share, and the discovery of bouncers."""
