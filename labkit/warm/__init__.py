"""Processes that begin with everything imported: forked from one that did so once."""
