"""What a set of weights is: its specification, its file, and where it is found."""
