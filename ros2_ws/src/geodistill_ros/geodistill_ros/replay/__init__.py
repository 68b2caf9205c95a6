# SPDX-License-Identifier: Apache-2.0
"""Recorded drives through the real node over DDS: player, recorder, control of the node, summary."""
