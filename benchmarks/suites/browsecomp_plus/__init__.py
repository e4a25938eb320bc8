"""BrowseComp-Plus: questions over a collection of documents, scored by a judge."""

from benchmarks.suites.browsecomp_plus.suite import BrowseCompPlus

__all__ = ["BrowseCompPlus"]
