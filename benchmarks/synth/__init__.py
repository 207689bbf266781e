"""What files of random weights are made of (synth_gguf.py, synth_infill.py)."""
