"""Proves checks: runs notebooks against faulty platforms, and tells which check noticed which."""
