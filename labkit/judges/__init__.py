"""Judges: pure functions from a recorded history to a verdict with a reason code."""
