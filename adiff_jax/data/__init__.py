"""Records and sequences: clips on disk or drawn, and the training iterator over them."""
