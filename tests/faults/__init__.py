"""What the posting engine must withstand: kills, cuts, full disks, stopped processes, crowds and poison.

BILLING_MCP_SOAK=1 makes it long: 200 kills on each database instead of 10, and more rounds of all that
is a matter of luck. Without it the folder takes about a minute.
"""

from __future__ import annotations

import os

SOAK = os.environ.get("BILLING_MCP_SOAK") == "1"
