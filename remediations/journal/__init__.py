"""The journal: the truth about every alert accepted and every decision made."""
