"""Reads objects of the cluster."""
