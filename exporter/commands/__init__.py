"""What the command line does, and how the exporter is put together."""
