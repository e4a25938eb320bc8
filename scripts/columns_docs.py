#!/usr/bin/env python3
"""Write docs/columns.md from the declarations in benchmarks/running/rows.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.running.rows import columns_page  # noqa: E402

(ROOT / "docs" / "columns.md").write_text(columns_page(), encoding="utf-8")
