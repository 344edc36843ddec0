"""``python -m skeleton_adv.page``, see ``command``."""

from skeleton_adv.page import main

main()
