"""Builds the container image and its SBOM, and tries the image out."""
