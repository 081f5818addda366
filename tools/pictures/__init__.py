"""Renderings of the dashboards with Grafana's own components, from the answers of a running Prometheus."""
