# SPDX-License-Identifier: Apache-2.0
"""Maps over HTTP on this machine: for Foxglove's map panel, for GIS programs, for tests."""

from geodistill_core.maps.serve.http import Answer, LocalServer, Reply, Request
from geodistill_core.maps.serve.site import MapSite, serve

__all__ = ["Answer", "LocalServer", "MapSite", "Reply", "Request", "serve"]
