"""The list of faults fits the code: a fault whose line is gone would measure nothing."""

import pathlib

import faults_list
import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize("fault", faults_list.FAULTS, ids=lambda fault: fault.name)
def test_a_fault_replaces_one_line(fault):
    assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.line) == 1
    assert "\n" not in fault.line + fault.fault
    assert fault.fault.strip() != fault.line.strip()
    assert fault.file.startswith("dim_jax/")
    assert (ROOT / fault.tests).is_file()


def test_names_are_unique():
    names = [fault.name for fault in faults_list.FAULTS]
    assert len(set(names)) == len(names)
