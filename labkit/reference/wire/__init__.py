"""What clients and servers say to each other, and the platform as it is seen over that wire."""
