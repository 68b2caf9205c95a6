# SPDX-License-Identifier: Apache-2.0
"""Runs compared frame by frame."""
