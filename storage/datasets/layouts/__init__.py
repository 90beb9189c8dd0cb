"""How datasets arrange their files."""
