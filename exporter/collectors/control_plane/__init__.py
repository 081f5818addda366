"""Collectors of the control plane's API."""
