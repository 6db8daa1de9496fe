from pathlib import Path

from resoftai.testing import LoadedPlugin

FOLDER = Path(__file__).parent.parent


def test_the_files_are_filled_in():
    plugin = LoadedPlugin(FOLDER, {"django_version": "4.2"})
    files = plugin.call("get_template_files")
    assert sorted(files) == ["manage.py", "requirements.txt", "site/settings.py"]
    assert files["requirements.txt"] == "django~=4.2\n"
    assert "$" not in "".join(files.values())


def test_each_project_has_its_own_secret():
    plugin = LoadedPlugin(FOLDER)
    assert plugin.call("get_template_files")["site/settings.py"] != plugin.call("get_template_files")["site/settings.py"]
