"""The system under test, seen through one Protocol per area, and how a target is loaded."""
