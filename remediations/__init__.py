"""controlcore-remediator: turns alerts into repairs.

Each repair has a recorded reason, is done once, and is verified.
"""
