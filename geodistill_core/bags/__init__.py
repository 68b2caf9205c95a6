# SPDX-License-Identifier: Apache-2.0
"""Recorded drives: reading, writing and synthesising MCAP bags."""
