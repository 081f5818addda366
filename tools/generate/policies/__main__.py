"""`python -m tools.generate.policies`: writes the JSON Schema of the policy file and its page in the documentation.

The schema of the chart's values gets the names of the actions.
"""

from __future__ import annotations

from tools.generate.policies.page import PAGE, render_page
from tools.generate.policies.schema import CHART, FILE, build_schema, put_actions, render_schema

if __name__ == "__main__":
    FILE.write_text(render_schema(), encoding="utf-8")
    CHART.write_text(put_actions(CHART.read_text(encoding="utf-8")), encoding="utf-8")
    PAGE.write_text(render_page(build_schema()), encoding="utf-8")
