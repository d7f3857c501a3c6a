"""What each area's notebook catches: one module for each, with its name and a table `CAUGHT`."""
