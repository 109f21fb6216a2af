"""On the device: camera → face box → crop → expression → event, each stage timed.

Imports numpy, OpenCV, one model runtime and the package's top-level modules; never TensorFlow.
"""
