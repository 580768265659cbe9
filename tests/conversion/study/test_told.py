"""What home models' reports tell of the systems beside the student."""

from __future__ import annotations

from typing import Any

from conversion.study.told import TEACHER, told_rows


def _report(teacher: float | None, svm: float) -> dict[str, Any]:
    run: dict[str, Any] = {"run": {}} if teacher is None else {"run": {}, "report": teacher}
    return {
        "teachers": [run, {"run": {}, "report": 0.1}],
        "baselines": {"linear_svm": {"accuracy": svm, "macro_f1": svm - 0.1}},
    }


def test_the_better_teacher_and_the_svm_are_means_over_the_seeds_that_were_built() -> None:
    teacher, svm = told_rows([_report(0.98, 0.95), None, _report(0.96, 0.93)])
    assert (teacher["system"], teacher["runs"], teacher["accuracy"]["mean"]) == (TEACHER, 2, 0.97)
    assert (svm["system"], svm["accuracy"]["mean"], svm["macro_f1"]["mean"]) == ("linear svm", 0.94, 0.84)
    assert svm["accuracy"]["by_run"] == [0.95, 0.93]


def test_a_system_that_no_report_knows_has_no_row() -> None:
    assert told_rows([None, None]) == []
    assert [row["system"] for row in told_rows([_report(None, 0.9)])] == ["linear svm"]
