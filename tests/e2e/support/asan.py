"""What is not for a run under ASan, and why; all else is."""

SCAN = "the memory is looked through, of which ASan has terabytes"

# by file, or file and test
LEFT_OUT = {
    "test_bench.py": "the bench has a build of its own",
    "test_stack.py": "ASan has stacks of its own, and marks on them",
    "test_helper.py::test_respawned[SEGV]": "ASan takes that signal",
    "test_helper.py::test_modules_removed_and_put_back":
        "keep.so keeps modules loaded, so that LSan finds their variables",
    "test_keys.py::test_account_key_while_it_signs": SCAN,
    "test_keys.py::test_bootstrap_key_in_the_helper_alone": SCAN,
    "test_keys.py::test_fallback_is_the_only_key_that_workers_hold": SCAN,
    "test_keys.py::test_in_the_helper_alone": SCAN,
    "test_keys.py::test_never_before_a_fork": SCAN,
    "test_keys.py::test_the_scan_finds_a_static_key": SCAN,
    "test_keys.py::test_unprivileged": SCAN,
    "test_memscan.py": SCAN,
    "test_renewal.py::test_renewed_under_handshakes": SCAN,
    "test_tlsalpn.py::test_worker_has_no_key_of_it": SCAN,
}


def reason(test):
    """Why it is left out, or None: with all its parameters or with some."""

    for known in (test, test.partition("[")[0], test.partition("::")[0]):
        if known in LEFT_OUT:
            return LEFT_OUT[known]
    return None
