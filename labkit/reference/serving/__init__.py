"""The server's side of the wire: its door, each client's connection, and how all this is doing."""
