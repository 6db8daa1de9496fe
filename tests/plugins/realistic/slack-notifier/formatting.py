from typing import Any, Dict

EVENT_EMOJI = {"project.created": ":seedling:", "error": ":fire:"}
COLORS = {"error": "danger"}


def build_attachment(event: str, data: Dict[str, Any]) -> Dict[str, Any]:
    fields = [{"title": key.replace("_", " ").title(), "value": str(value), "short": len(str(value)) < 40}
              for key, value in sorted(data.items())]
    return {"color": COLORS.get(event, "good"), "title": event.replace(".", " ").title(), "fields": fields}
