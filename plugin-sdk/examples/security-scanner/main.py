"""Looks for security mistakes that can be seen in a single line of code."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from resoftai.plugins.base import CodeQualityPlugin, PluginContext
from resoftai.plugins.errors import PluginValidationError
from resoftai.plugins.hooks import Hooks

SEVERITIES = ["low", "medium", "high", "critical"]
# What one finding takes off the score of 100.
PENALTY = {"low": 2, "medium": 5, "high": 10, "critical": 20}
LINE_LIMIT = 2000
SHOWN_LIMIT = 200


@dataclass(frozen=True)
class Rule:
    type: str
    severity: str
    message: str
    recommendation: str
    words: tuple[str, ...]
    """The pattern matches no line without one of these. Finding a word costs a hundredth of trying a pattern."""
    pattern: re.Pattern


def rule(type, severity, message, recommendation, words, pattern):
    return Rule(type, severity, message, recommendation, tuple(words.split(" ")), re.compile(pattern, re.IGNORECASE))


_CALL = r"\b(?:execute|executemany|executescript|query|raw)\s*\("
_SQL = r"(?:select|insert|update|delete|drop|alter|create)\b"

RULES = [
    rule(
        "sql_injection",
        "critical",
        "SQL is put together from strings, so input can change the statement.",
        "Pass the values as parameters of execute() and let the driver quote them.",
        "execut query raw select insert update delete drop alter create",
        rf"""{_CALL}\s*(?:[rb]?f["'].*\{{|["'].*["']\s*(?:%|\+|\.format\s*\()|\w+\s*(?:%|\+)\s*\w)"""
        rf"""|(?:=|return|\()\s*(?:f["']\s*{_SQL}.*\{{|["']\s*{_SQL}.*["']\s*(?:%|\+|\.format\s*\())""",
    ),
    rule(
        "code_execution",
        "critical",
        "Text is run as code.",
        "Parse the input instead: ast.literal_eval or json for data, a table of functions for choices.",
        "eval exec",
        r"(?<![\w.])(?:eval|exec)\s*\(",
    ),
    rule(
        "hardcoded_secret",
        "high",
        "A secret is written into the source.",
        "Read it from the configuration or a secret store, and change the one that was written here.",
        "password passwd pwd secret key auth",
        r"""\b\w*(?:password|passwd|pwd|secret|api_?key|access_?key|auth_?token|private_?key)\w*["']?\]?\s*[:=]\s*"""
        r"""["'](?!["']|\$\{|<|\{\{|example|changeme)[^"'\s]{4,}["']|-----BEGIN (?:\w+ )?PRIVATE KEY-----""",
    ),
    rule(
        "command_injection",
        "high",
        "A command goes through the shell, so input can add commands.",
        "Use subprocess.run with a list of arguments and without shell=True.",
        "shell os.system os.popen",
        r"\bshell\s*=\s*True\b|\bos\.(?:system|popen)\s*\(",
    ),
    rule(
        "path_traversal",
        "high",
        "A path comes from input and may lead out of its folder.",
        "Resolve the path and check that it stays inside the folder it belongs to.",
        "open send_file read_text read_bytes os.path.join",
        r"""\b(?:open|send_file|read_text|read_bytes)\s*\([^)]*(?:request\.|params\[|\bargs\.get|input\s*\()"""
        r"""|\bopen\s*\(\s*(?:f["'][^"']*\{|["'][^"']*["']\s*(?:\+|%)|\w+\s*\+\s*\w)"""
        r"""|\bos\.path\.join\s*\([^)]*(?:request\.|params\[|\bargs\.get|input\s*\()""",
    ),
    rule(
        "weak_hash",
        "medium",
        "MD5 and SHA-1 can be forged.",
        "Use SHA-256, and a password hash such as Argon2 for passwords.",
        "hashlib",
        r"""\bhashlib\.(?:md5|sha1)\s*\(|\bhashlib\.new\s*\(\s*["'](?:md5|sha-?1)["']""",
    ),
]


class SecurityScannerPlugin(CodeQualityPlugin):
    """Adds `security` = {"issues", "score"} to the result of every code analysis."""

    def load(self, context: PluginContext) -> bool:
        self.context = context
        context.log_info(f"Loading {self.metadata.name}")
        return True

    def activate(self) -> bool:
        self.context.hooks.register_filter(Hooks.CODE_ANALYZE, self.scan_code, priority=5)
        return True

    def deactivate(self) -> bool:
        self.context.hooks.unregister_filter(Hooks.CODE_ANALYZE, self.scan_code)
        return True

    def unload(self) -> bool:
        return True

    def get_tool_name(self) -> str:
        return "security_scanner"

    def get_config_schema(self) -> dict:
        return self.metadata.config_schema

    def validate_config(self, config: dict) -> bool:
        threshold = config.get("severity_threshold", "medium")
        if threshold not in SEVERITIES:
            raise PluginValidationError(f"severity_threshold must be one of {', '.join(SEVERITIES)}, not {threshold!r}.")
        return True

    async def analyze_code(self, code: str, language: str) -> dict:
        """Findings at or above the configured severity, in the order of lines, and a score from 0 to 100."""
        threshold = SEVERITIES.index(self.config.get("severity_threshold", "medium"))
        rules = [rule for rule in RULES if SEVERITIES.index(rule.severity) >= threshold]
        lines = code.splitlines()
        issues = [issue for number, rules in suspects(rules, code) for issue in findings(rules, number + 1, lines[number])]
        return {"issues": issues, "score": max(0, 100 - sum(PENALTY[issue["severity"]] for issue in issues))}

    async def scan_code(self, analysis_result: dict) -> dict:
        """The filter on `code.analyze`."""
        analysis_result["security"] = await self.analyze_code(
            analysis_result.get("code", ""), analysis_result.get("language", "")
        )
        return analysis_result


def suspects(rules: list[Rule], code: str) -> list[tuple[int, list[Rule]]]:
    """The lines, counted from 0, that hold a word of a rule, each with the rules to try."""
    text = code.lower()
    # Lower case may be longer than the original, but it has the same lines.
    ends = list(accumulate(len(line) for line in text.splitlines(keepends=True)))
    found: dict[int, list[Rule]] = {}
    for rule in rules:
        for word in rule.words:
            at = text.find(word)
            while at >= 0:
                number = bisect_right(ends, at)
                tried = found.setdefault(number, [])
                if not tried or tried[-1] is not rule:
                    tried.append(rule)
                at = text.find(word, ends[number])
    return sorted(found.items(), key=lambda suspect: suspect[0])


def findings(rules: list[Rule], number: int, line: str):
    """What the rules say about one line. Comments are passed over; very long lines are data, not code."""
    text = line.strip()
    if not text or text.startswith(("#", "//", "*")) or len(text) > LINE_LIMIT:
        return
    for rule in rules:
        if rule.pattern.search(text):
            yield {
                "type": rule.type,
                "severity": rule.severity,
                "message": rule.message,
                "line": number,
                "code": text[:SHOWN_LIMIT],
                "recommendation": rule.recommendation,
            }
