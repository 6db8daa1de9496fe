from pathlib import Path

from resoftai.testing import LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent


def test_stages_follow_the_sprints():
    plugin = LoadedPlugin(FOLDER, {"sprints": 2})
    assert plugin.tool_name == "scrum"
    assert plugin.call("get_workflow_stages").count("development") == 2


def test_velocity_outlives_the_instance():
    host = LocalHost()
    first = LoadedPlugin(FOLDER, host=host)
    first.do_action("project.execute.complete", {"tokens_used": 900})
    first.unload()
    LoadedPlugin(FOLDER, host=host).do_action("project.execute.complete", {"tokens_used": 500})
    assert host.kv["velocity"] == "[900, 500]"
