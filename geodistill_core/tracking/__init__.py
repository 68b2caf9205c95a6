# SPDX-License-Identifier: Apache-2.0
"""Poses over time: what many frames say together that one cannot."""
