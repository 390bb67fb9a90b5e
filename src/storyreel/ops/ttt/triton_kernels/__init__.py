"""The TTT op as Triton kernels. `launch.py` is the way in; nothing here is imported unless the backend is chosen."""
