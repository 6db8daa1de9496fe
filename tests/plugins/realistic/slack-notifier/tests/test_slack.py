from pathlib import Path

from resoftai.testing import FakeHttp, LoadedPlugin, LocalHost

FOLDER = Path(__file__).parent.parent
URL = "https://hooks.slack.com/services/T/B/x"


def load(replies, **settings):
    web = FakeHttp(replies)
    return LoadedPlugin(FOLDER, {"webhook_url": URL, **settings}, LocalHost(http=web)), web


def test_hooks_are_registered():
    plugin, _ = load({})
    assert ("project.create.after", "action", 20) in plugin.hooks
    assert ("filter.project.requirements", "filter", 10) in plugin.hooks


def test_a_project_is_announced():
    plugin, web = load({f"POST {URL}": "ok"}, enabled_events=["project.created"])
    plugin.do_action("project.create.after", {"name": "Shop", "owner": "ada"})
    sent = web.requests[0].json()
    assert sent["channel"] == "#builds" and sent["icon_emoji"] == ":seedling:"
    assert sent["attachments"][0]["fields"][0] == {"title": "Name", "value": "Shop", "short": True}


def test_a_refusal_is_logged():
    plugin, _ = load({f"POST {URL}": (404, "no_team")})
    assert plugin.call("send_notification", event="error", data={}) is False
    assert ("error", "Slack returned 404: no_team") in plugin.host.lines


def test_a_host_that_is_not_granted_is_logged():
    plugin, _ = load({})
    assert plugin.call("send_notification", event="error", data={}) is False
    assert any("Slack is not reachable: Denied" in line for _, line in plugin.host.lines)


def test_requirements_are_kept():
    plugin, _ = load({})
    assert plugin.apply_filter("filter.project.requirements", "a shop") == "a shop"
    assert "a shop" in plugin.host.kv["last_requirements"]
