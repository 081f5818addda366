"""Measurements of the exporter beside the exporters that operators run today."""
