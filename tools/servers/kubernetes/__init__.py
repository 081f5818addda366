"""A real Kubernetes control plane on loopback, and a client for it."""
