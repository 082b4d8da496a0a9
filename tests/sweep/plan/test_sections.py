from distmerge.sweep.plan.sections import Section, section_lines


def test_columns_are_aligned_and_numbers_are_to_the_right() -> None:
    rows = [("task", "images"), ("alpha", 5), ("b", "1,024")]
    assert list(section_lines(Section("tasks", rows))) == [
        "",
        "tasks",
        "  task   images",
        "  alpha       5",
        "  b       1,024",
    ]


def test_rows_may_have_fewer_cells_and_no_line_ends_in_blanks() -> None:
    rows = [("a", "long text"), ("wider",)]
    assert list(section_lines(Section("x", rows)))[2:] == ["  a      long text", "  wider"]
