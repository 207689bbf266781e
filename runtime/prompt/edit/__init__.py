"""Next edits: a place in a text and what was done before, as a prompt; the answer, as a change.

Each format of a family of models has a file; edit_formats.py finds the one that a model has.
"""
