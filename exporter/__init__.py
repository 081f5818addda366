"""controlcore-exporter: reads the real state of Control Core, publishes it for Prometheus, and writes nothing."""
