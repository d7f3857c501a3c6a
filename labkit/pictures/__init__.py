"""Pictures of what a check has seen: figures and tables, one module each."""
