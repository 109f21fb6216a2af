"""``fer-edge`` with the virtual camera in reach."""

import off_board  # noqa: F401

from fer_edge.cli import main

main()
