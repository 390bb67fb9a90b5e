"""What the TTT op reads, in Triton. `launch.py` is the way in; nothing here is imported unless used."""
