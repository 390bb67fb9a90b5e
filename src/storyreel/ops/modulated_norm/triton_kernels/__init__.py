"""The norm and the gated residual in Triton. `launch.py` is the way in; nothing here is imported unless used."""
