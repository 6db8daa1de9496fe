import ast


class ComplexityRule:
    BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.IfExp, ast.comprehension)

    def __init__(self, config):
        self.limit = config.get("max_complexity", 10)

    def check(self, tree):
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                score = 1 + sum(isinstance(child, self.BRANCHES) for child in ast.walk(node))
                if score > self.limit:
                    yield node.lineno, "medium", "complexity", f"{node.name} has complexity {score}"
