"""What changes the next token's scores: functions of ids and row, as transformers defines them."""
