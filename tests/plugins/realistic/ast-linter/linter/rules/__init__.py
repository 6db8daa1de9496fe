from .complexity import ComplexityRule
from .excepts import BareExceptRule

ALL_RULES = [ComplexityRule, BareExceptRule]
