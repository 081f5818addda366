"""How the page is written, compressed and published."""
