"""Small real servers of endless video on localhost: MJPEG over HTTP, and RTSP with RTP/JPEG."""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import cv2
import numpy as np

PERIOD = 0.01


class VideoServer(socketserver.ThreadingTCPServer):
    """Sends numbered gray pictures to everybody who asks; can freeze, die and be started again."""

    daemon_threads = True
    allow_reuse_address = True
    scheme = ""

    def __init__(self, port: int = 0, pictures: Sequence[np.ndarray] = ()) -> None:
        """``pictures``, (H, W, 3) uint8, are shown over and over in place of the gray ones."""
        self._pictures = pictures
        self.flowing, self.dead = threading.Event(), False
        self.flowing.set()
        self.size, self.sent = (64, 48), 0
        handler = {"http": _HttpHandler, "rtsp": _RtspHandler}[self.scheme]
        super().__init__(("127.0.0.1", port), handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/stream"

    @property
    def newest(self) -> int:
        """Number of the picture that was sent last, of 0 to 149; its gray value less 50."""
        return self.sent % 150

    def die(self) -> None:
        """Close every connection and the door."""
        self.dead = True
        self.flowing.set()
        with suppress(OSError):
            self.shutdown()
            self.server_close()

    def pictures(self) -> Iterator[bytes]:
        """JPEGs for one client, in time, until the server dies."""
        while self.flowing.wait() and not self.dead:
            self.sent += 1
            yield cv2.imencode(".jpg", self._picture())[1].tobytes()
            time.sleep(PERIOD)

    def _picture(self) -> np.ndarray:
        if self._pictures:
            return self._pictures[self.sent % len(self._pictures)]
        width, height = self.size
        return np.full((height, width, 3), 50 + self.newest, np.uint8)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is nothing to speak of."""


class MjpegServer(VideoServer):
    scheme = "http"


class RtspServer(VideoServer):
    scheme = "rtsp"


class _Handler(socketserver.StreamRequestHandler):
    server: VideoServer

    def _request(self) -> tuple[list[str], dict[str, str]]:
        """The request line's words and the headers; no words when the client is gone."""
        line, headers = self.rfile.readline().decode().split(), {}
        while header := self.rfile.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return line, headers


class _HttpHandler(_Handler):
    def handle(self) -> None:
        line, _ = self._request()
        if line[1] != "/stream":
            self.wfile.write(b"HTTP/1.0 404 Not Found\r\n\r\n")
            return
        kind = "multipart/x-mixed-replace; boundary=frame"
        self.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
        for picture in self.server.pictures():
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")


_SDP = "v=0\r\ns=pictures\r\nm=video 0 RTP/AVP 26\r\na=control:track\r\n"


class _RtspHandler(_Handler):
    """RTSP 1.0 (RFC 2326) with RTP interleaved into the connection, JPEG only (RFC 2435)."""

    def handle(self) -> None:
        while (request := self._request())[0]:
            (method, url, _), headers = request
            answer = [f"CSeq: {headers['cseq']}", "Session: 1"]
            body = ""
            if method == "OPTIONS":
                answer.append("Public: DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif method == "DESCRIBE" and url.endswith("/stream"):
                body = _SDP
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            elif method == "SETUP":
                answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            elif method not in ("PLAY", "TEARDOWN", "GET_PARAMETER"):
                self.wfile.write(f"RTSP/1.0 404 Not Found\r\n{answer[0]}\r\n\r\n".encode())
                continue
            head = "\r\n".join(["RTSP/1.0 200 OK", *answer])
            self.wfile.write(f"{head}\r\n\r\n{body}".encode())
            if method == "PLAY":
                self._play()
                return

    def _play(self) -> None:
        sequence = 0
        for picture in self.server.pictures():
            moment = int(time.monotonic() * 90_000) & 0xFFFFFFFF
            for last, payload in _fragments(picture):
                head = struct.pack("!BBHII", 0x80, 26 | last << 7, sequence & 0xFFFF, moment, 7)
                sequence += 1
                size = len(head) + len(payload)
                self.wfile.write(struct.pack("!cBH", b"$", 0, size) + head + payload)


def _fragments(jpeg: bytes, limit: int = 1400) -> Iterator[tuple[bool, bytes]]:
    """RTP payloads of one baseline 4:2:0 JPEG, each with whether it is the last."""
    tables, width, height, at = b"", 0, 0, 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment, at = jpeg[at + 4 : at + 2 + length], at + 2 + length
        if marker == 0xDB:
            tables += b"".join(segment[n + 1 : n + 65] for n in range(0, len(segment), 65))
        elif marker == 0xC0:
            height, width = struct.unpack_from("!HH", segment, 1)
        elif marker == 0xDA:
            break
    scan = jpeg[at:-2]
    for offset in range(0, len(scan), limit):
        head = struct.pack("!IBBBB", offset, 1, 255, width // 8, height // 8)
        if offset == 0:
            head += struct.pack("!BBH", 0, 0, len(tables)) + tables
        yield offset + limit >= len(scan), head + scan[offset : offset + limit]
