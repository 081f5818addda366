"""Everything that is decided, without I/O. An import contract holds for the whole folder."""
