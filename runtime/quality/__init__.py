"""How good a model is: texts, float arithmetic, distances and the figures a file records."""
