"""controlcore-exporter: reads Control Core and tells Prometheus the truth about it. It never writes anywhere."""
