"""What an answer's text has to be: schemas, regular expressions, grammars and choices."""
