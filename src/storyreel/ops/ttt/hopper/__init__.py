"""TTT-MLP for NVIDIA Hopper GPUs, in CUDA C++; this folder's README has the dataflow."""
