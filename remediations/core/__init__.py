"""All decision code, without I/O. An import contract holds for the whole folder."""
