"""Measurements of the remediator."""
