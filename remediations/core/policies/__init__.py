"""Policies: their form, their reader, and the checks of their faults."""
