"""Metrics, with their intervals and tests."""
