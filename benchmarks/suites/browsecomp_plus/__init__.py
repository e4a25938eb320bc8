"""BrowseComp-Plus: multi-hop questions over a collection of documents."""

from benchmarks.suites.browsecomp_plus.suite import BrowseCompPlus

__all__ = ["BrowseCompPlus"]
