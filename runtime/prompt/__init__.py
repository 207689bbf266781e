"""What a model is asked, as token ids: infilling and chat layouts, healing at the cursor."""
