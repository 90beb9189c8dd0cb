"""Drawn images with known defects."""
