"""`make mutants`: removes each guard from a copy of the tree, runs the tests that must notice, and prints what turned red."""

import argparse
import sys
from collections.abc import Sequence

from tests.mutants.mutants import Mutant, MutantError, Outcome, copy_of_the_tree, load, run_tests

SHOWN_TESTS = 3
"""Names of red tests in one row of the table; the rest is counted."""


def main() -> int:
    """0 when every mutant was noticed and the tree as it is passes the same tests; 1 when not; 2 when one could not be tried."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=…", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants to try (all of them unless given)")
    parser.add_argument("--list", action="store_true", help="say what each one removes, and end")
    parser.add_argument("--skip-original", action="store_true", help="do not run the tests on the tree as it is first")
    told = parser.parse_args()
    mutants = load()
    if told.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.removes.strip()}\n")
        return 0
    if unknown := set(told.names) - {mutant.name for mutant in mutants}:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}; see --list")
    chosen = [mutant for mutant in mutants if not told.names or mutant.name in told.names]
    try:
        if not told.skip_original and not _original_passes(chosen):
            return 1
        return _try_all(chosen)
    except MutantError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 2


def _original_passes(mutants: Sequence[Mutant]) -> bool:
    """One file after the other, so that it can be seen how far it is."""
    wanted = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    by_file: dict[str, list[str]] = {}
    for test in wanted:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    print("the tree as it is:", flush=True)
    red: list[str] = []
    with copy_of_the_tree() as root:
        for file, tests in by_file.items():
            outcome = run_tests(root, [file] if file in tests else tests)
            print(f"  {file}: {outcome.ran} tests, {len(outcome.failed)} red, {outcome.seconds:.0f} s", flush=True)
            red += outcome.failed
    for name in red:
        print(f"✗ red without any mutant: {name}", file=sys.stderr)
    print(flush=True)
    return not red


def _try_all(mutants: Sequence[Mutant]) -> int:
    print("| removed | tests | red | seconds | which |\n|---|---|---|---|---|", flush=True)
    survivors = []
    for mutant in mutants:
        outcome = _try(mutant)
        names = [f"`{name}`" for name in outcome.failed[:SHOWN_TESTS]]
        if more := len(outcome.failed) - len(names):
            names.append(f"and {more} more")
        shown = ", ".join(names) or "**none: it survives**"
        row = [mutant.name, str(outcome.ran), str(len(outcome.failed)), f"{outcome.seconds:.0f}", shown]
        print(f"| {' | '.join(row)} |", flush=True)
        if not outcome.failed:
            survivors.append(mutant)
    for mutant in survivors:
        print(f"✗ {mutant.name} survives: no test of {', '.join(mutant.tests)} notices. Write one.", file=sys.stderr)
    return 1 if survivors else 0


def _try(mutant: Mutant) -> Outcome:
    with copy_of_the_tree() as root:
        for edit in mutant.edits:
            edit.apply(root, mutant.name)
        return run_tests(root, mutant.tests)


if __name__ == "__main__":
    sys.exit(main())
