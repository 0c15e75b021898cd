"""The Python examples of README.md run, and come to what they say, on fake nodes."""

from tests.client.fake_node import FakeCluster
from tests.client.machine_state import MachineState
from tests.client.readme_examples import readme_program


def test_the_examples_do_what_they_say(cluster: FakeCluster) -> None:
    cluster.state = MachineState()
    program = readme_program(cluster.addresses)
    assert program.promises >= 7
    exec(compile(program.text, "README.md", "exec"), {"__name__": "readme"})
