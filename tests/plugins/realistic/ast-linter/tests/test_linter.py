from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent
CODE = "try:\n    x()\nexcept:\n    pass\n"


def test_findings_come_by_filter():
    value = LoadedPlugin(FOLDER).apply_filter("code.analyze", {"code": CODE, "language": "python"})
    [issue] = value["ast_linter"]["issues"]
    assert (issue["type"], issue["line"]) == ("bare_except", 3)
    assert issue["recommendation"] == "Name the exceptions you expect."


def test_findings_come_by_method_with_a_path():
    result = LoadedPlugin(FOLDER).call("analyze_code", code="def f(:\n", language="python", file_path="a.py")
    assert result["issues"][0]["severity"] == "critical"


def test_the_limit_is_a_setting():
    code = "def f(a):\n    if a:\n        return 1\n    return 2\n"
    assert LoadedPlugin(FOLDER, {"max_complexity": 1}).call("analyze_code", code=code, language="python")["issues"]
    assert not LoadedPlugin(FOLDER).call("analyze_code", code=code, language="python")["issues"]


def test_a_bare_except_is_mended():
    plugin = LoadedPlugin(FOLDER)
    fixed = plugin.call("fix_code", code=CODE, language="python")
    assert not plugin.call("analyze_code", code=fixed, language="python")["issues"]
