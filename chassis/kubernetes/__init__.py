"""The Kubernetes API: client, credentials, paths and readers of its objects."""
