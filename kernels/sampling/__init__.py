"""What a draw from a row of logits needs: masks over a vocabulary, running sums."""
