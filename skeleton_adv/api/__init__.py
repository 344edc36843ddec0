"""What ``import skeleton_adv as sa`` offers: the command line's tasks, for networks and clips in memory."""
