"""The page: runs as one HTML file that opens anywhere, with a leaderboard, a player of clips, and curves."""

from skeleton_adv.page.command import main

__all__ = ["main"]
