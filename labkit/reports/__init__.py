"""Executed notebooks and a journal, made into what people and CI read; opens no connection."""
