"""Detection: the objects in an image, each with its class and its box."""
