"""What a conversion will cost and what it lost, for people."""
