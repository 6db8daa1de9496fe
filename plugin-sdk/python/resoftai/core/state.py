"""The stages of a project's life, for agents and workflows that name them."""

from __future__ import annotations

from enum import Enum


class WorkflowStage(str, Enum):
    """Stages by the names of the earlier Python product; a plugin may name its own."""

    INITIAL = "initial"
    REQUIREMENTS_GATHERING = "requirements_gathering"
    REQUIREMENTS_ANALYSIS = "requirements_analysis"
    ARCHITECTURE_DESIGN = "architecture_design"
    UI_UX_DESIGN = "ui_ux_design"
    PROTOTYPE_DEVELOPMENT = "prototype_development"
    CLIENT_REVIEW = "client_review"
    REQUIREMENTS_REFINEMENT = "requirements_refinement"
    DEVELOPMENT_PLANNING = "development_planning"
    IMPLEMENTATION = "implementation"
    TESTING = "testing"
    QUALITY_ASSURANCE = "quality_assurance"
    DOCUMENTATION = "documentation"
    DEPLOYMENT = "deployment"
    COMPLETED = "completed"
