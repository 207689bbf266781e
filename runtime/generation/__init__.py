"""Requests, from prompt tokens to text."""
