"""Reports to people: announcements through Alertmanager, and Events of Kubernetes."""
