"""The readers of the cluster."""
