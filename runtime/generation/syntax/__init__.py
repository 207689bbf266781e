"""Answers that are code: where they end, and whether they can still become code that parses."""
