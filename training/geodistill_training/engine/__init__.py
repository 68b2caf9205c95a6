# SPDX-License-Identifier: Apache-2.0
"""The training engine: one loop on Lightning Fabric, exact resume, and guards that end a run which has gone wrong."""
