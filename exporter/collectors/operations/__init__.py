"""Backups, certificates, compliance and tuning."""
