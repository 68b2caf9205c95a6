# SPDX-License-Identifier: Apache-2.0
"""Geodesy, tile arithmetic, angles and projections."""
