"""Runs and methods compared."""
