"""A lab for the places where services meet: executed notebooks as test, evidence and report."""

__version__ = "0.1.0"
