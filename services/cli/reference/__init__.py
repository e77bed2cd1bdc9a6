"""The reference pages for those who define missions: made from the models, with words and examples that stand beside this file."""

from .pages import IncompleteReference, pages

__all__ = ["IncompleteReference", "pages"]
