"""Measurements of the exporter and of the exporters that operators run today."""
