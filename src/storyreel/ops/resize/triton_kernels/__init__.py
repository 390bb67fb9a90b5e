"""Both changes of size as Triton kernels. `launch.py` is the way in; nothing here is imported unless it is chosen."""
