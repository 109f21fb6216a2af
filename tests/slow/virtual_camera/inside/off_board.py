"""Makes the real picamera2 run off a Raspberry Pi, at 30 frames a second; import it first.

Three seams: the DRM preview's module is absent; buffers come from memory files instead of a DMA
heap; the virtual camera has no raw modes to list. Everything else is the real thing. In addition
SIGUSR1 stalls the camera, and ends the stall: libcamera's frames are withheld, as after an unplug.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from types import ModuleType
from typing import Any


class _AnyFormat(type):
    def __getattr__(cls, name: str) -> str:
        return name


def _absent(name: str, **content: Any) -> None:
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module


_absent("pykms", PixelFormat=_AnyFormat("PixelFormat", (), {}))
_absent("pidng")
_absent("pidng.camdefs", Picamera2Camera=None)
_absent("pidng.core", PICAM2DNG=None)

import libcamera  # noqa: E402
import picamera2.picamera2  # noqa: E402
from picamera2 import Picamera2  # noqa: E402
from picamera2.allocators import DmaAllocator  # noqa: E402
from picamera2.allocators.allocator import Sync  # noqa: E402


class _NoSync(Sync):
    """Memory files need no cache maintenance."""

    def __init__(self, allocator: Any, buffer: Any, write: bool) -> None:
        self._allocator = allocator
        self._buffer = buffer

    def __enter__(self) -> mmap.mmap:
        return self.get_buffer()

    def __exit__(self, *_: object) -> None:
        pass

    def get_buffer(self) -> mmap.mmap:
        return self._allocator.mapped_buffers[self._buffer]


class MemoryFileAllocator(DmaAllocator):
    """picamera2's allocator over memfd; luma and chroma are planes of their own."""

    def __init__(self) -> None:
        self.dmaHeap = None
        self.mapped_buffers, self.mapped_buffers_used = {}, {}
        self.frame_buffers, self.open_fds, self.libcamera_fds = {}, [], []
        self.sync = _NoSync

    def allocate(self, configs: Any, _: Any) -> None:
        self.libcamera_fds = []
        self.cleanup()
        for descriptor in self.open_fds:
            os.close(descriptor)
        self.frame_buffers, self.open_fds = {}, []
        for config in configs:
            buffers = [self._buffer(config) for _ in range(config.buffer_count)]
            self.frame_buffers[config.stream] = buffers

    def _buffer(self, config: Any) -> Any:
        descriptor = os.memfd_create("frame", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, config.frame_size)
        self.open_fds.append(descriptor)
        luma = config.stride * config.size.height
        spans = [(0, luma), (luma, config.frame_size - luma)]
        buffer = libcamera.FrameBuffer([_plane(descriptor, *span) for span in spans])
        self.libcamera_fds.append(buffer.planes[0].fd)
        self.mapped_buffers_used[buffer.planes[0].fd] = False
        self.mapped_buffers[buffer] = mmap.mmap(descriptor, config.frame_size)
        return buffer


def _plane(descriptor: int, offset: int, length: int) -> Any:
    plane = libcamera.FrameBuffer.Plane()
    plane.fd, plane.offset, plane.length = descriptor, offset, length
    return plane


def _raw_modes(self: Any) -> list[dict[str, Any]]:
    config = self.camera.generate_configuration([libcamera.StreamRole.Viewfinder]).at(0)
    return [{"format": str(config.pixel_format), "size": (config.size.width, config.size.height)}]


picamera2.picamera2.DmaAllocator = MemoryFileAllocator
Picamera2._get_raw_modes = _raw_modes

_withheld: list[Any] = []
_stalled = False
_process = Picamera2.process_requests


def _process_requests(self: Any, display: Any) -> None:
    if _stalled:
        with self._requestslock:
            _withheld.extend(self._requests)
            self._requests = []
    else:
        time.sleep(1 / 30)  # the virtual camera knows no frame rate
    _process(self, display)


def _switch(*_: object) -> None:
    global _stalled
    _stalled = not _stalled
    while not _stalled and _withheld:
        _withheld.pop().release()


Picamera2.process_requests = _process_requests
signal.signal(signal.SIGUSR1, _switch)
