"""A folder in which tests make run folders."""

import pytest
import run_folders


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Makes run folders; the working directory is the folder that holds them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return run_folders.Folders(tmp_path)
