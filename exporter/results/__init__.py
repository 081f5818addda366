"""What of a collection is kept, and within which limits."""
