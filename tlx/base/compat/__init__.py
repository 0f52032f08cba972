"""The private names of other packages that tlx uses: one file for each package, and one test in tests/base/compat.

A private name may change with any version of its package. Then its test fails, and only one file of tlx has to change.
`tests/test_private_names.py` checks that no other file uses such a name. `torch.py` and `lightning.py` import their
package, so nothing that runs before the configuration is checked may import them.
"""
