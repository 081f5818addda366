"""The life of a process: start, signals, systemd, a watched event loop, build information."""
