"""Code that both programs use; it imports nothing from either."""
