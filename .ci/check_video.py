"""Fails unless the MP4 named on the command line is one segment of demo video with a moving picture in it."""

import sys
from fractions import Fraction

import av
import numpy as np

with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    found = {
        "frames": len(frames),
        "size": (stream.codec_context.width, stream.codec_context.height),
        "codec": stream.codec_context.name,
        "format": stream.codec_context.pix_fmt,
        "rate": stream.average_rate,
    }
wanted = {"frames": 49, "size": (192, 128), "codec": "h264", "format": "yuv420p", "rate": Fraction(16)}
pixels = np.stack(frames).astype(np.float32)
within, between = pixels.std(axis=(1, 2)).min(), pixels.std(axis=0).mean()
print(found, f"spread within frames {within:.1f}, between frames {between:.1f}")
if found != wanted:
    sys.exit(f"the video is {found}, but should be {wanted}")
if within < 2 or between < 0.1:
    sys.exit("the frames are one colour, or all the same")
