from pathlib import Path

from resoftai.testing import LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
ANSWER = 'Here: {"endpoints": [{"method": "GET", "path": "/items", "purpose": "List them"}]}'


def load():
    asked = []

    def model(request):
        asked.append(request)
        return {"content": ANSWER}

    return LoadedPlugin(FOLDER, host=LocalHost(llm=model)), asked


def test_it_describes_itself():
    plugin, _ = load()
    agent = plugin.call("describe")
    assert (plugin.api, plugin.tool_name, agent["role"]) == ("agent", "architect", "architect")
    assert agent["responsible_stages"] == ["architecture_design", "development_planning"]
    assert [c["name"] for c in agent["capabilities"]] == ["api_design", "api_review"]


def test_a_task_becomes_an_artifact():
    plugin, asked = load()
    done = plugin.call("handle_task_assignment", task={"description": "A shop"})
    assert "GET    /items  List them" in done["artifacts"]["docs/api.md"]
    assert asked[0]["max_tokens"] == 800 and asked[0]["messages"][0]["role"] == "system"
