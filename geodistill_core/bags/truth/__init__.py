# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a drive, wherever it is recorded."""
