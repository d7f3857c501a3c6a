"""What the commands do, once the door has read them."""
