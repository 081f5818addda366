"""The HTTP server of the exporter and its pages for people."""
