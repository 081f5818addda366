"""The commands, and the code that assembles the exporter."""
