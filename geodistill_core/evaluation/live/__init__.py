# SPDX-License-Identifier: Apache-2.0
"""Replays through the ROS 2 node."""
