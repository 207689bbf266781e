"""Speculation: tokens that are guessed from texts, and verified in one step."""
