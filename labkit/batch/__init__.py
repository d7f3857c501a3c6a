"""Notebooks and parameters in, executed notebooks out."""
