"""The policy file's schema and page, made from the code that reads it."""
