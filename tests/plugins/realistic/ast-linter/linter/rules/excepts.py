import ast


class BareExceptRule:
    def __init__(self, config):
        pass

    def check(self, tree):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield node.lineno, "high", "bare_except", "except without a type hides errors"
