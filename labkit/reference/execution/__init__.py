"""Agents at work: their executions, what they do step by step, and who may step in."""
