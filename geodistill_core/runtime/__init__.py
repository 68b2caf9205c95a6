# SPDX-License-Identifier: Apache-2.0
"""The same network on other engines: export, back ends, the parity gate and the cache of built engines."""
