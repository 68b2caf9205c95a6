# SPDX-License-Identifier: Apache-2.0
"""Many drives replayed side by side and merged into one report."""
