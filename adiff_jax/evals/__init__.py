"""Measurements: one family of metrics a file, and what puts them into tables."""
