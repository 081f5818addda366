"""The HTTP server: webhook, API and access control."""
