"""The windows of local attention, in Triton. `launch.py` is the way in; nothing here is imported unless used."""
