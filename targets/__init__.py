"""Target hashers: networks that turn images into short binary codes, and their training."""
