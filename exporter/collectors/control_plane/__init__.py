"""Asks the control plane's API."""
