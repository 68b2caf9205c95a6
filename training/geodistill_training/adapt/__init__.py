# SPDX-License-Identifier: Apache-2.0
"""Adaptation to a new area without labels (second paper), and from recorded drives."""
