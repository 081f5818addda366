"""Reads Prometheus, Alertmanager, Kubernetes and the database; writes nothing."""
