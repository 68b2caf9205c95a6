# SPDX-License-Identifier: Apache-2.0
"""ROS 2 node around geodistill_core: messages in, `Localizer.locate`, messages out."""
