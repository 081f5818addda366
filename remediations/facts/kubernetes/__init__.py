"""What the engine reads of the cluster."""
