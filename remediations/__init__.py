"""controlcore-remediator: turns alerts into repairs that are decided with a reason, done once, and verified."""
