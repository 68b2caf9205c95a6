# SPDX-License-Identifier: Apache-2.0
"""VIGOR: street panoramas of four cities on aerial tiles, with corrected labels."""
