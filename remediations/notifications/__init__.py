"""Reports to people: announcements in Alertmanager, and Events of Kubernetes."""
