# SPDX-License-Identifier: Apache-2.0
"""Data sets: what a method is trained and judged on."""
