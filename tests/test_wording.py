from storyreel.wording import counted


def test_one_is_singular_and_everything_else_plural():
    assert [counted(number, "story", "stories") for number in (0, 1, 2)] == ["0 stories", "1 story", "2 stories"]
    assert counted(1, "core") == "1 core"
    assert counted(12, "core") == "12 cores"
