from resoftai.plugins.base import CodeQualityPlugin, PluginContext

class SecurityScannerPlugin(CodeQualityPlugin):
    """Security vulnerability scanner plugin"""

    def load(self, context: PluginContext) -> bool:
        """Initialize plugin"""
        self.context = context
        self.context.log_info(f"Loading {self.metadata.name}")
        return True

    def activate(self) -> bool:
        """Activate plugin and register hooks"""
        self.context.log_info(f"Activating {self.metadata.name}")

        # Register hook for code analysis
        context.hooks.register_filter(
            "code.analyze",
            self.scan_code,
            priority=5
        )
        return True

    def deactivate(self) -> bool:
        """Deactivate plugin"""
        # Unregister hooks
        return True

    def unload(self) -> bool:
        """Clean up resources"""
        return True

    def get_tool_name(self) -> str:
        return "security_scanner"

    async def analyze_code(self, code: str, language: str) -> dict:
        """Scan code for security issues"""
        issues = []

        # Example: Check for SQL injection
        if "execute(" in code and "%" in code:
            issues.append({
                "severity": "high",
                "type": "sql_injection",
                "message": "Potential SQL injection vulnerability"
            })

        return {
            "issues": issues,
            "score": 100 - len(issues) * 10
        }

    async def scan_code(self, analysis_result: dict) -> dict:
        """Filter hook for code analysis"""
        # Add security scan results
        security_results = await self.analyze_code(
            analysis_result.get("code", ""),
            analysis_result.get("language", "")
        )

        analysis_result["security"] = security_results
        return analysis_result

    def get_config_schema(self) -> dict:
        """Return JSON Schema for plugin configuration"""
        return {
            "type": "object",
            "properties": {
                "severity_threshold": {
                    "type": "string",
                    "enum": ["low", "medium", "high", "critical"],
                    "default": "medium"
                },
                "scan_dependencies": {
                    "type": "boolean",
                    "default": True
                }
            }
        }
