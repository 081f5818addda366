"""`python -m tools.generate.policies`: writes the JSON Schema of the policy file and its page in the documentation."""

from __future__ import annotations

from tools.generate.policies.page import PAGE, render_page
from tools.generate.policies.schema import FILE, build_schema, render_schema

if __name__ == "__main__":
    FILE.write_text(render_schema(), encoding="utf-8")
    PAGE.write_text(render_page(build_schema()), encoding="utf-8")
