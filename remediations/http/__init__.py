"""The HTTP server: the webhook, the API, who may do what."""
