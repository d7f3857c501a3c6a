"""Results with numbers that can be divided in the head."""

from benchmarks.contenders import (
    LABKIT,
    LABKIT_ONE,
    NBMAKE,
    PAPERMILL,
    SCRIPT,
    SCRIPT_WARM,
    WARM_ONE,
)
from benchmarks.results import Checks, Comparison, Footprint, Growth, Machine, Results, Series

MACHINE = Machine(
    date="2026-01-02",
    commit="0123456789abcdef",
    is_changed=False,
    system="Linux x86_64",
    cores=2,
    python="3.11.7",
    load=0.25,
    versions=(("papermill", "2.7.0"), ("PostgreSQL", "18.4")),
)
BEFORE = Footprint(resident_bytes=90_000_000, proportional_bytes=50_000_000, descriptors=20)
AFTER = Footprint(resident_bytes=95_000_000, proportional_bytes=51_500_000, descriptors=22)
GROWTH = (
    Growth(20, 4.0, 2.0, driver=(BEFORE, AFTER), warm=(BEFORE, BEFORE)),
    Growth(200, 20.0, 10.0, driver=(BEFORE, BEFORE), warm=(BEFORE, AFTER)),
)
RESULTS = Results(
    machine=MACHINE,
    plain=Comparison(
        7,
        (
            Series(WARM_ONE, (1.0, 1.0), (0.5, 0.7)),
            Series(PAPERMILL, (8.0, 10.0), (4.0, 4.0)),
            Series(NBMAKE, (4.0, 5.0)),
        ),
    ),
    lab=Comparison(
        7,
        (
            Series(LABKIT, (10.0, 10.0), (16.0, 16.0), (0.005, 0.040)),
            Series(LABKIT_ONE, (20.7, 20.7), (18.0, 18.0), (0.010,)),
            Series(PAPERMILL, (40.0, 40.0), (20.0, 20.0)),
            Series(NBMAKE, (30.0, 30.0)),
            Series(SCRIPT, (20.0, 20.0)),
            Series(SCRIPT_WARM, (18.6, 18.6)),
        ),
    ),
    services=(Series("a lease", (0.030, 0.034)),),
    growth=GROWTH,
    checks=(Checks(20, 0.2), Checks(200, 4.0)),
)
