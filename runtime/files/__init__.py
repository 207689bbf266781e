"""Files as they come: names, first bytes, JSON folders, reads that may fall short, warnings."""
