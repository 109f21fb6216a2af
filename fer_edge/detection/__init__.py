"""A face detector's answers: decoded, matched with the truth, measured.

The network is fully convolutional: at strides of 8, 16 and 32 pixels every cell says whether the
middle of a face is near, where its box is and where its landmarks are. What is beyond the
convolutions is done here, in numpy and OpenCV, once for training, the gate and the device.
"""

from fer_edge.detection.decoding import (
    LANDMARKS,
    PARTS,
    RELIABLE,
    SIZES,
    STRIDES,
    WHOLE,
    Detections,
    Size,
    decode,
    grid,
    logit,
    padded,
    suppress,
)

__all__ = [
    "LANDMARKS",
    "PARTS",
    "RELIABLE",
    "SIZES",
    "STRIDES",
    "WHOLE",
    "Detections",
    "Size",
    "decode",
    "grid",
    "logit",
    "padded",
    "suppress",
]
