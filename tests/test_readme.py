"""The README's snippets run, in their order, on a CSV like the reader's."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"


def test_snippets(tmp_path, monkeypatch):
    pd = pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    rng, t = np.random.default_rng(0), np.arange(400)
    day = 2 * np.pi * t / 24
    frame = pd.DataFrame(
        {"temperature": 10 + 5 * np.sin(day), "humidity": 50 + 3 * np.cos(day)},
        index=pd.date_range("2024-01-01", periods=400, freq="h", name="time"),
    )
    frame += 0.1 * rng.standard_normal(frame.shape)
    frame.to_csv(tmp_path / "my.csv")
    monkeypatch.chdir(tmp_path)
    known = {
        "run1": frame[:150],
        "run2": frame[150:280],
        "run3": frame[280:],
        "u": rng.standard_normal((300, 1)),
        "u_future": rng.standard_normal((24, 1)),
    }
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        exec(compile(block, "README.md", "exec"), known)
    forecast = known["search"].predict(24)
    truth = 10 + 5 * np.sin(2 * np.pi * np.arange(400, 424) / 24)
    assert np.abs(forecast[:, 0] - truth).max() < 1.0


def test_two_commands_are_what_ci_runs():
    commands = re.findall(r"```sh\n(.*?)\n```", README.read_text("utf-8"), re.DOTALL)
    assert commands[0].endswith("python examples/quickstart.py")
    assert commands[1].endswith("python -m pytest")
