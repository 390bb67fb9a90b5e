"""GroupNorm and what follows it as Triton kernels. `launch.py` is the way in; nothing here is imported unless used."""
