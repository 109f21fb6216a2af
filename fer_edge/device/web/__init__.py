"""``--serve``: a page with a live preview, WebSocket events, Prometheus metrics, a health check.

Needs the extra ``web``. The server lives in a thread of its own and never holds up the pipeline.
"""

from __future__ import annotations

from fer_edge.device.web.address import Address, parse_address
from fer_edge.device.web.output import WebPage

__all__ = ["Address", "WebPage", "parse_address"]
