#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Source ROS and our workspace, then become the command, so that signals reach it.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /opt/geodistill_ws/setup.bash
exec "$@"
