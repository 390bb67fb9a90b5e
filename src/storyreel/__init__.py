"""storyreel: a storyboard goes in, a coherent one-minute video comes out."""

__version__ = "0.1.0"
