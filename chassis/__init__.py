"""Code that both programs use; imports nothing from either of them."""
