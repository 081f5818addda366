"""Reads the shipped rules for tests and demo: their series, their time windows, their cases."""
